"""Trained networks to hand on: an archive of a finished run, and its way back to a run directory.

An archive is a ZIP file with arrays and JSON, no code. Its manifest has the SHA-256 of every file;
whoever publishes an archive publishes its own SHA-256 beside it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from experiments.engine.experiment import Experiment
from experiments.engine.resuming import saved_run
from utils.errors import UserError
from utils.runs.environment import default_cache
from utils.runs.files import as_json, making_folder, replacing
from utils.runs.reading import UNREADABLE, arrays_of
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import saved_step
from utils.training.packing import GRAPH, packed_networks, unpack_networks

PHANTOM = "phantom"  # the word for `--run` that means the networks that come with the project
SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "phantom_brats.zip"
SHIPPED_SHA256 = "1e98c3b50e375a7764c5cf265b190d60b7b6393d4f89732b144bbcb3be0931fa"
MANIFEST, DATASHEET = "manifest.json", "datasheet.md"
FORMAT = 1
SUFFIX = ".zip"
MOST_BYTES = 1 << 31  # of all files, unpacked
UNPUBLISHED = "(not published)"  # in the place of the folder of somebody's data
PLACES = ("layout", "tissue_maps")  # settings that are or describe them
_FILE, _STAGE = re.compile(r"\w{1,60}\.(json|md|npz)", re.ASCII), re.compile(r"[a-z_]{1,60}")
_DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes whenever it is made

# By stage the networks that are handed on; none of a stage that has only to be known as finished.
Parts = Mapping[str, Sequence[str]]


def write_archive(
    run: RunDirectory,
    experiment: Experiment,
    parts: Parts,
    others: Sequence[str],
    text: str,
    to: Path,
) -> str:
    """Writes the networks of a finished run as an archive; returns its SHA-256.

    Configuration and metrics go with them; data, splits and names of patients do not.

    Args:
        run: the run directory.
        experiment: what it ran.
        parts: the networks.
        others: further files of the run that its networks need, such as an atlas.
        text: the datasheet.
        to: the archive's file, which is replaced.
    """
    saved = saved_run(run.path, "--run needs")
    config = {name: saved[name] for name in ("preset", "precision")}
    config["config"] = _without_places(saved["config"])
    data = None if saved["data"] is None else UNPUBLISHED
    files = {
        "config.json": as_json({**config, "data": data, "script": experiment.script}).encode(),
        "metrics.json": as_json(run.read_metrics()).encode(),
        DATASHEET: text.encode(),
        **{name: (run.path / name).read_bytes() for name in others},
    }
    for stage, networks in parts.items():
        file = io.BytesIO()
        np.savez(file, **packed_networks(run.checkpoints(stage), networks))
        files[_weights(stage)] = file.getvalue()
    manifest = {
        "format": FORMAT,
        "stages": {
            stage: {"step": saved_step(run.checkpoints(stage)), "networks": list(networks)}
            for stage, networks in parts.items()
        },
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    content = _zipped({MANIFEST: as_json(manifest).encode(), **files})
    with replacing(to, len(content)) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration without what may name somebody's folders and files."""
    kept = {name: None if name in PLACES else value for name, value in config.items()}
    return {
        name: _without_places(value) if isinstance(value, Mapping) else value
        for name, value in kept.items()
    }


def _weights(stage: str) -> str:
    return f"weights/{stage}.npz"


def _zipped(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with ZipFile(target, "w") as archive:
        for name, content in files.items():
            entry = ZipInfo(name, _DATE)
            archive.writestr(entry, content, ZIP_DEFLATED, compresslevel=9)
    return target.getvalue()


def run_folder(path: Path, cache: Optional[Path] = None) -> Path:
    """Returns the run directory that `--run` names: itself, or what an archive unpacks to.

    Args:
        path: a run directory, an archive, or `PHANTOM`, unless there is a folder of this name.
        cache: folder in which archives are unpacked, once for each content; default: the scripts'.

    Raises:
        UserError: the archive is damaged, was changed, or is none.
    """
    path = Path(path)
    shipped = str(path) == PHANTOM and not path.exists()
    file = SHIPPED if shipped else path
    if not shipped and path.suffix.lower() != SUFFIX:
        return path
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"--run {file} cannot be read ({error.strerror}); check the path"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if shipped and found != SHIPPED_SHA256:
        raise UserError(
            f"{file} must have the SHA-256 {SHIPPED_SHA256}, found {found}; put back the "
            "repository's file"
        )
    folder = (cache or default_cache()) / "weights" / found
    if not folder.exists():
        print(f"unpacking {file.name}, SHA-256 {found}")
        _unpack(file, content, folder)
    return folder


def _unpack(file: Path, content: bytes, folder: Path) -> None:
    files = _checked_files(file, content)
    manifest = json.loads(files.pop(MANIFEST))
    with making_folder(folder) as target:
        for stage, part in manifest["stages"].items():
            arrays = arrays_of(file, io.BytesIO(files.pop(_weights(stage))))
            if GRAPH not in arrays:
                raise UserError(f"--run {file} has no networks of {stage}; fetch it again")
            unpack_networks(arrays, target / "checkpoints" / stage, part["step"], part["networks"])
        for name, bytes_ in files.items():
            (target / name).write_bytes(bytes_)


def _checked_files(file: Path, content: bytes) -> dict[str, bytes]:
    """Returns the files of an archive by name.

    Raises UserError unless they are those of its manifest, byte for byte, and lie in it plainly.
    """
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sum(one.file_size for one in entries) > MOST_BYTES:
                raise ValueError(f"its files have more than {MOST_BYTES} bytes")
            if any(one.compress_type != ZIP_DEFLATED for one in entries):
                raise ValueError("its files are compressed in another way")
            files = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(files[MANIFEST])
        hashes, stages = dict(manifest["files"]), dict(manifest["stages"])
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}, expected {FORMAT}")
        names = {MANIFEST, *hashes}
        if set(files) != names or not {_weights(stage) for stage in stages} <= names:
            raise ValueError("its files are not those of its manifest")
        for name in hashes:
            plain = name in map(_weights, stages) or _FILE.fullmatch(name)
            if not plain or hashlib.sha256(files[name]).hexdigest() != hashes[name]:
                raise ValueError(f"{name} is not what its manifest says")
        for stage, part in stages.items():
            step, networks = part["step"], part["networks"]
            whole = type(step) is int and 0 < step < 1 << 53
            named = isinstance(networks, list) and all(isinstance(one, str) for one in networks)
            if not _STAGE.fullmatch(stage) or not whole or not named:
                raise ValueError(f"its stage {stage!r} is none")
        return files
    except (*UNREADABLE, zlib.error, RuntimeError, NotImplementedError) as error:
        raise UserError(
            f"--run {file} is no archive of networks, or was changed ({error}); fetch it again"
        ) from error

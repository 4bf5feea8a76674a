"""Folders of phantoms: each appears whole or not at all, and is kept by what it was made from.

For data sets of pictures; `data.brats.phantom` has its own, which shares work between processes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from tqdm import tqdm

from utils.errors import UserError
from utils.runs.files import making_folder, read_json, write_json

MANIFEST = "phantom.json"
NOTICE = "Computer-made demonstration and test object, not medical data."


@dataclass(frozen=True)
class Maker:
    """What makes the files of a phantom.

    Attributes:
        name: of the data set that it stands in for.
        version: to be raised when the files of the same seed change.
        write: function from (folder, seed, index) that writes the files of a patient, which depend
            on seed and index only; it is called in the order of the indices.
    """

    name: str
    version: int
    write: Callable[[Path, int, int], None]


def cached_folder(cache: Path, maker: Maker, patients: int, seed: int) -> Path:
    """Returns the folder `cache/phantom-<hash of its parameters>`, made when missing.

    `MANIFEST` in it says that it is no medical data, and from what it was made.

    Args:
        cache: where phantoms are kept.
        maker: writes the files.
        patients: number of patients, at least 1; a larger phantom begins with a smaller one.
        seed: 0 or more.

    Raises:
        UserError: if a number is too small, the folder holds something else or cannot be written.
    """
    if patients < 1 or seed < 0:
        raise UserError(
            f"A phantom needs at least 1 patient and a seed of 0 or more, found {patients} and "
            f"{seed}; choose others."
        )
    parameters = {
        "notice": NOTICE,
        "phantom": maker.name,
        "version": maker.version,
        "patients": patients,
        "seed": seed,
    }
    key = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:12]
    folder = (Path(cache) / f"phantom-{key}").expanduser().resolve()
    try:
        if not folder.exists():
            _make(folder, maker, parameters)
    except OSError as error:
        raise UserError(
            f"Cannot write the phantom to {folder.parent} ({error.strerror}); check its rights or "
            "choose another --cache."
        ) from error
    manifest = folder / MANIFEST
    if not manifest.is_file() or read_json(manifest) != parameters:
        raise UserError(
            f"{folder} exists but is not the {maker.name} phantom of {patients} patients with seed "
            f"{seed}; remove it or choose another --cache."
        )
    return folder


def _make(folder: Path, maker: Maker, parameters: dict) -> None:
    patients, seed = parameters["patients"], parameters["seed"]
    with making_folder(folder) as unfinished:
        for index in tqdm(range(patients), "phantom", unit="patient"):
            maker.write(unfinished, seed, index)
        write_json(unfinished / MANIFEST, parameters)

"""Stage "atlas" of SAMR: the mean of the training patients, or a folder that `--atlas` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from data.atlas import build_atlas
from data.brats.given_atlas import atlas_paths, read_atlas
from data.contract import DataSet
from experiments.engine.derived import file_hash
from experiments.engine.experiment import Option
from experiments.engine.request import Request
from experiments.engine.run import Run
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory

NAMES_FILE = "sequences_and_labels.json"  # what the networks are used with, without the data
ATLAS = Option(
    "atlas",
    Optional[Path],
    None,
    "folder with a volume per sequence; default: the mean of the training patients",
)


def atlas_file(run: RunDirectory) -> Path:
    """Returns where the run keeps its atlas."""
    return run.path / "atlas.npz"


def origin_file(run: RunDirectory) -> Path:
    """Returns where the run keeps what its atlas was made of."""
    return run.path / "atlas.json"


def make_atlas(run: Run) -> None:
    """Writes the atlas and its origin, and the names of sequences and labels.

    Of the run's own patients only those that it trains on are in it.
    """
    data = run.prepared.dataset
    names = {"sequences": data.channels, "classes": data.classes}
    write_json(run.path / NAMES_FILE, names)
    folder = run.request.options.get(ATLAS.field)
    if folder is None:
        atlas, patients = build_atlas(run.prepared, run.split.train), _patients(run)
        origin = {"source": f"mean of {patients} training patients", "patients": patients}
    else:
        atlas = read_atlas(folder, data.channels, run.config.slicing)
        origin = given_origin(folder, data)
    write_json(origin_file(run), origin)
    atlas.save(atlas_file(run))


def _patients(run: Run) -> int:
    return len(set(map(run.prepared.dataset.patient_of, run.split.train)))


def given_origin(folder: Path, data: DataSet) -> dict[str, Any]:
    """Returns name and hashes of the files of an atlas of the user's, no path."""
    files = {path.name: file_hash(path) for path in atlas_paths(folder, data.channels)}
    return {"source": folder.resolve().name, "files": files}


def check_atlas(request: Request, data: DataSet) -> None:
    """Raises UserError for an atlas that cannot be read, or another one than the run began with.

    A resumed run keeps its own atlas; the folder may have moved.
    """
    folder, run = request.options.get(ATLAS.field), RunDirectory(request.out, writes=False)
    if request.resume and atlas_file(run).exists():
        own = read_json(origin_file(run), dict)
        if folder is not None and own.get("files") != given_origin(folder, data)["files"]:
            raise UserError(
                f"--resume continues {request.out} with its own atlas, {own['source']}, but "
                f"--atlas {folder} is another one; leave --atlas out or start a new --out"
            )
    elif folder is not None:
        read_atlas(folder, data.channels, request.config.slicing)
    elif request.resume:
        began = read_json(run.config_file, dict).get("options", {}).get(ATLAS.field)
        if began is not None:
            raise UserError(
                f"--resume continues {request.out}, which began with --atlas {began} and has not "
                "read it yet; give --atlas again or start a new --out"
            )

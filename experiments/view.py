"""Look at volumes in a browser: three planes, a label on top, window and position.

    python experiments/view.py CASE_flair.nii.gz --label CASE_seg.nii.gz
    python experiments/view.py FOLDER

FILE is a .nii, .nii.gz, .mha or .mhd; file.nii.gz#1 is volume 1 of a file of several. Of a FOLDER
all such files are shown; those whose name says that they are labels can be laid over the others,
at first over those of their own folder. Everything is read once and kept in memory, nothing is
written. The page is on this machine alone, http://127.0.0.1:8080/, and needs no network. What it
shows is not for diagnosis.
"""

from __future__ import annotations

import _start

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from data.brats.namings import LABEL, kind_of
from data.grids import StoredGrid, Volume, differing_properties
from data.integrity import METAIMAGES
from data.nifti import packed_nifti
from data.volumes import SUFFIXES, check_name, file_of, read_volume, stem_of
from experiments.engine.pages import page_routes
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.names import printable
from utils.serving.messages import BINARY, Reply, Route, fixed, json_reply
from utils.serving.starting import add_server_options, check_server_options, serve

PORT = 8080
MOST = 200  # volumes, about 2 GB of those of BRATS
HIGHEST_LABEL = 255
# Browsers unpack it on the way, faster than a script.
GZIP = {"Content-Encoding": "gzip"}
_SUFFIXES = tuple(sorted({*SUFFIXES, *METAIMAGES}))
_KINDS = ", ".join(_SUFFIXES)
# A word of the name, such as in case_seg.nii.gz, label-1.nii.gz or the folder labelsTr.
_LABEL = re.compile(r"(?<![a-z])(labels?|seg|segm|segmentation|mask|labelsT[rs])(?![a-z])", re.I)


class Found(NamedTuple):
    """A file to show.

    Attributes:
        path: the file.
        name: its name for people.
        on_top: whether it is a label to lay over volumes.
        everywhere: whether it lies over all of them at first, as that of --label.
    """

    path: Path
    name: str
    on_top: bool
    everywhere: bool = False


class Shown(NamedTuple):
    """A volume as the page gets it.

    Attributes:
        found: the file.
        grid: the volume without its voxels: `array` only has their shape.
        packed: bytes of a .nii.gz.
        labels: the values of a label, 0 excluded; None for other volumes.
        centre: where the middle of the label's voxels lies in mm, towards right, front and top.
    """

    found: Found
    grid: Volume
    packed: bytes
    labels: Optional[list[int]]
    centre: Optional[list[float]]


def main() -> None:
    """Reads the volumes that the command line names and serves the page until Ctrl-C."""
    parser = Parser(prog="python experiments/view.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="volumes, or folders of them")
    add("--label", type=Path, help="label to lay over all volumes")
    add_server_options(parser, PORT)
    add("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    check_server_options(options)
    files = find_files(options.paths, options.label)
    bar = tqdm(files, desc="Reading", unit="volume", disable=len(files) < 2)
    shown = [read(found) for found in bar]
    serve([*page_routes("view", with_niivue=True), *volume_routes(shown)], options)


def find_files(paths: Sequence[Path], label: Optional[Path] = None) -> list[Found]:
    """Returns the files to show, each once, those of a folder by name.

    Files whose names say that they are labels lie on top, unless there is nothing else.

    Raises UserError if a path does not exist or is no volume, a folder holds none, or there are too
    many.
    """
    found = {}
    for path in paths:
        for file, inside in _volumes_in(path) if path.is_dir() else [(path, path.name)]:
            on_top = kind_of(file) == LABEL or bool(_LABEL.search(inside))
            found.setdefault(os.path.abspath(file), Found(file, printable(inside), on_top))
    if label is not None:
        found[os.path.abspath(label)] = Found(label, printable(label.name), True, True)
    files = _briefly_named(list(found.values()))
    if len(files) > MOST:
        raise UserError(f"{len(files)} volumes were named; give files or folders with {MOST}")
    for file in files:
        _check_file(file.path)
    if all(file.on_top for file in files):  # labels on their own are volumes
        files = [file._replace(on_top=file.everywhere) for file in files]
    if all(file.on_top for file in files):
        raise UserError(f"{label} is the only volume; leave out --label, or give a volume below it")
    return files


def _briefly_named(files: Sequence[Found]) -> list[Found]:
    """Leaves out folders in the names where no two files have the same name."""
    names = Counter(file.path.name for file in files)
    if max(names.values()) > 1:
        return list(files)
    return [file._replace(name=printable(file.path.name)) for file in files]


def _volumes_in(folder: Path) -> list[tuple[Path, str]]:
    """Returns the volumes of a folder and their names in it; UserError if there are none."""
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.name.lower().endswith(_SUFFIXES) and path.is_file() and not hidden:
            found.append((path, inside.as_posix()))
    if not found:
        raise UserError(
            f"{folder} holds no volume ({_KINDS}); give a folder with volumes, or a file"
        )
    return found


def _check_file(path: Path) -> None:
    check_name(path)
    file = file_of(path)
    if not file.is_file():
        raise UserError(f"{path} does not exist or is no file; give a volume or a folder")
    if not file.name.lower().endswith(_SUFFIXES):
        raise UserError(f"{path} must be a volume ({_KINDS}), found another suffix; convert it")


def read(found: Found) -> Shown:
    """Reads a file and packs it as NIfTI on its own grid, with axes in the nearest LPS order.

    Types that browsers' textures do not have become float32.

    Raises:
        UserError: as `data.volumes.read_volume`.
    """
    volume = read_volume(found.path)
    array, labels, centre = volume.array, None, None
    if found.on_top:
        labels = label_values(array)
    if labels is not None:
        array = array.astype(np.uint8)
        centre = _centre(array, volume)
    elif array.dtype.itemsize == 8 or array.dtype == np.float16:
        array = array.astype(np.float32)
    geometry = volume.spacing, volume.origin, volume.direction
    packed = packed_nifti(array, StoredGrid(array.shape[::-1], *geometry))
    # A view of one value has the shape and keeps no voxels in memory.
    shape = np.broadcast_to(np.zeros(1, np.uint8), array.shape)
    return Shown(found, Volume(shape, *geometry), packed, labels, centre)


def label_values(array: np.ndarray) -> Optional[list[int]]:
    """Returns the values above 0 of whole numbers 0..255; None if there are other values."""
    if array.min() < 0 or array.max() > HIGHEST_LABEL or not np.array_equal(array, np.rint(array)):
        return None
    counts = np.bincount(array.astype(np.uint8).ravel())
    return [int(value) for value in np.flatnonzero(counts) if value]


def _centre(label: np.ndarray, volume: Volume) -> Optional[list[float]]:
    if not label.any():
        return None
    z, y, x = (places.mean() for places in np.nonzero(label))
    axes = np.reshape(volume.direction, (3, 3)) * volume.spacing
    left, back, top = axes @ (x, y, z) + volume.origin
    return [-float(left), -float(back), float(top)]


def volume_routes(shown: Sequence[Shown]) -> list[Route]:
    """Returns the list of volumes and labels at `/volumes.json`, and a route for each of them."""
    below = [one for one in shown if not one.found.on_top]
    above = [one for one in shown if one.found.on_top]
    routes, kinds = [], (("volume", below), ("label", above))
    for kind, group in kinds:
        for number, one in enumerate(group):
            reply = Reply(BINARY, one.packed, headers=GZIP)
            routes.append(fixed(f"/{kind}-{number}.nii", reply))
    content = {
        "volumes": [{**_described(one), **_labels_of(one, above)} for one in below],
        "labels": [
            {**_described(one), "values": one.labels, "centre": one.centre} for one in above
        ],
    }
    return [fixed("/volumes.json", json_reply(content)), *routes]


def _described(shown: Shown) -> dict[str, Any]:
    size = list(shown.grid.array.shape[::-1])
    return {"name": shown.found.name, "size": size, "spacing": list(shown.grid.spacing)}


def _labels_of(shown: Shown, labels: Sequence[Shown]) -> dict[str, Any]:
    """Returns the number of the label that lies over a volume at first, and those of other grids.

    The label is that of --label, or the only one, or that of the case: what stands in its name
    before the word "label" begins the volume's name. Of several cases the longest name fits.
    """
    found = [one.found for one in labels]
    stems = [_LABEL.split(one.path.name)[0].rstrip("._- ") for one in found]
    stems = [stem_of(Path(stem)) if stem.endswith(_SUFFIXES) else stem for stem in stems]
    fits = [
        number
        for number, stem in enumerate(stems)
        if found[number].everywhere or len(found) == 1 or _of_case(shown.found, found[number], stem)
    ]
    best = max(fits, key=lambda i: (found[i].everywhere, len(stems[i])), default=None)
    other = [i for i, one in enumerate(labels) if any(differing_properties(shown.grid, one.grid))]
    return {"label": best, "other_grid": other}


def _of_case(volume: Found, label: Found, stem: str) -> bool:
    same_folder = volume.path.parent == label.path.parent
    return volume.path.name.startswith(stem) and (same_folder or stem != "")


def _after_interrupt() -> str:
    return "the page is closed and nothing was written"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

"""Single labelled slices in files: PNG, whose colours or numbers are classes, and NumPy's .npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data.brats.scaling import shrunk_label
from data.brats.slices import SliceConfig, output_size
from data.brats.windows import cut
from data.pictures import UNREADABLE
from utils.errors import UserError
from utils.reporting.pictures import PALETTE, to_uint8
from utils.runs.files import replacing
from utils.runs.reading import read_arrays

PNG, NPZ = ".png", ".npz"
SLICE_SUFFIXES = (PNG, NPZ)


def is_slice(path: Path) -> bool:
    """Returns whether a file's name is that of a single slice."""
    return path.suffix.lower() in SLICE_SUFFIXES


def read_label_slice(path: Path) -> np.ndarray:
    """Returns the label [H,W] of a slice, as numbers of classes.

    A PNG file has `PALETTE`'s colours, or numbers as greys or as places in a palette of its own; a
    .npz file holds numbers under the key "label", such as a sample of a synthetic set, or a single
    slice as [1,H,W].

    Raises:
        UserError: the file is missing or damaged, has no label, or has a colour of no class.
    """
    if not path.is_file():
        raise UserError(f"The label {path} is missing; check the path")
    if path.suffix.lower() == NPZ:
        label = _array(path, "label")
        return _whole(path, label[0] if label.ndim == 3 and len(label) == 1 else label)
    try:
        with Image.open(path) as picture:
            if picture.mode in ("RGB", "RGBA") or _in_our_colours(picture):
                return _classes_of(path, np.asarray(picture.convert("RGB")))
            return _whole(path, np.asarray(picture))
    except UNREADABLE as error:
        raise UserError(f"The label {path} is no readable picture ({error}); write it anew") from (
            error
        )


def _array(path: Path, key: str) -> np.ndarray:
    arrays = read_arrays(path)
    if key not in arrays:
        raise UserError(
            f"{path} must hold an array {key!r}, found {', '.join(arrays) or 'none'}; write it "
            f"with numpy.savez_compressed({path.name!r}, {key}=...)"
        )
    return arrays[key]


def _whole(path: Path, array: np.ndarray) -> np.ndarray:
    if array.ndim != 2 or array.dtype.kind not in "iub" or array.min(initial=0) < 0:
        raise UserError(
            f"The label {path} must be whole numbers of 0 or more in rows and columns, found "
            f"{array.dtype} {array.shape}; convert it"
        )
    return array.astype(np.int64)


def _in_our_colours(picture: Image.Image) -> bool:
    """Returns whether a picture has a palette of classes' colours: editors change their places."""
    if picture.mode != "P":
        return False
    return {colour for _, colour in picture.convert("RGB").getcolors(256)} <= set(PALETTE)


def _classes_of(path: Path, colours: np.ndarray) -> np.ndarray:
    same = (colours[..., None, :] == np.array(PALETTE)).all(axis=-1)  # [H,W,classes]
    if not same.any(axis=-1).all():
        foreign = tuple(colours[~same.any(axis=-1)][0].tolist())
        raise UserError(
            f"The label {path} has the colour {foreign}, which is none of a class "
            f"({', '.join(map(str, PALETTE))}); paint without smooth edges, or write numbers"
        )
    return same.argmax(axis=-1)


def read_maps(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns structure map and mask [H,W], 0/1, of a sample.

    Raises UserError if it has none, or other values.
    """
    maps = _array(path, "structure"), _array(path, "outside")
    for part in maps:
        if not np.isin(part, (0, 1)).all():
            raise UserError(f"The maps of {path} must hold 0 and 1 alone; give a sample of a set")
    return maps


def fitted(path: Path, label: np.ndarray, config: SliceConfig) -> np.ndarray:
    """Returns a label [H,W] at the size of a run's slices, [h,w].

    Args:
        path: its file, for messages.
        label: classes from 0 on, of the size of the run's slices, of the part of a volume's slice
            that these show, or of a whole slice.
        config: how the run's slices are cut.

    Raises UserError for a label of another size.
    """
    size, whole = output_size(config), tuple(config.frame[1:])
    crop = config.rows[1] - config.rows[0], config.columns[1] - config.columns[0]
    if label.shape == size:
        return label
    if label.shape == crop:
        return shrunk_label(label[None], config)[0]
    if label.shape == whole:
        return shrunk_label(cut(label[None], np.array([0]), config), config)[0]
    known = " or ".join(f"{height}x{width}" for height, width in dict.fromkeys((size, crop, whole)))
    raise UserError(
        f"The label {path} must have {known} pixels (rows x columns) for this run, found "
        f"{label.shape[0]}x{label.shape[1]}; resize it without smoothing"
    )


def write_slice(path: Path, content: Mapping[str, np.ndarray] | np.ndarray) -> None:
    """Writes arrays by name as .npz, or as PNG an image [H,W] in [0,1] or a label of uint8."""
    if path.suffix.lower() == NPZ:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **content)
        return
    label = content.dtype == np.uint8
    picture = Image.fromarray(content if label else to_uint8(content))
    if label:
        picture.putpalette(_bytes_of(PALETTE))
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def _bytes_of(colours: Sequence[Sequence[int]]) -> list[int]:
    return [part for colour in colours for part in colour]

"""Pictures in files such as JPEG and TIFF: reading with checks, square sizes, data sets of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

import cv2
import numpy as np
import SimpleITK as sitk
from PIL import Image

from data.contract import CaseSlices, DataSet
from data.verdicts import Verdict, verdict_of_each
from data.volumes import check_name
from utils.errors import UserError

SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff", ".gif")
STRETCH, PAD = "stretch", "pad"
FITS = (STRETCH, PAD)
# What image libraries raise for a file that is cut off, damaged, huge or of another type.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class PictureCase:
    """The pictures of one patient.

    Attributes:
        id: name of the case.
        paths: files of the pictures, in a fixed order.
        classes: class of each picture, where that is its label.
    """

    id: str
    paths: tuple[Path, ...]
    classes: tuple[int, ...] = ()

    def problems(self) -> list[UserError]:
        """Returns nothing: its files were found in a folder."""
        return []


def picture_files(folder: Path) -> list[Path]:
    """Returns the pictures in a folder, in order; hidden files are passed over."""
    files = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    return [
        path
        for path in files
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def read_picture(path: Path) -> np.ndarray:
    """Returns a picture in the file's own type, [H,W] or [H,W,3].

    Raises:
        UserError: the file is missing, damaged, no picture, or holds several pictures.
    """
    check_name(path)
    if not path.is_file():
        raise UserError(f"The picture {path} is missing; fetch it again.")
    try:
        array = _decoded(path)
    except UNREADABLE as error:
        raise UserError(
            f"The picture {path} is damaged or of another type ({error}); fetch it again or remove "
            "it."
        ) from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3) or not array.size:
        raise UserError(
            f"The picture {path} must be grey or have red, green and blue, found an array of "
            f"{array.shape}; convert or remove it."
        )
    if not np.isfinite(array).all():
        raise UserError(f"The picture {path} holds NaN or infinite values; repair or remove it.")
    return array


def _decoded(path: Path) -> np.ndarray:
    if path.suffix.lower() in (".tif", ".tiff"):  # of which Pillow knows no signed 16 bits
        try:
            return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        except RuntimeError as error:  # whose text has lines of its library's sources
            raise ValueError("it cannot be read as TIFF") from error
    with Image.open(path) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            raise ValueError(f"it holds {picture.n_frames} pictures")
        grey = picture.mode in ("1", "L", "I", "F") or picture.mode.startswith("I;16")
        if picture.mode == "P" and path.suffix.lower() == ".gif":  # DRIVE's masks
            return np.asarray(picture.convert("L"))
        return np.asarray(picture if grey else picture.convert("RGB"))


def as_grey(array: np.ndarray) -> np.ndarray:
    """Returns a picture as [H,W] float32: a picture in colours as their mean."""
    array = array.astype(np.float32)
    return array.mean(axis=-1) if array.ndim == 3 else array


def squared(array: np.ndarray, side: int, fit: str, fill: float = 0.0) -> np.ndarray:
    """Returns a picture [H,W] or [H,W,C] as a square, float32.

    It is shrunk by area, and enlarged linearly.

    Args:
        array: any real type.
        side: new height and width, pixels.
        fit: stretch, which changes the aspect ratio, or pad, which adds margins before.
        fill: value of the margins.
    """
    array = array.astype(np.float32)
    if fit == PAD:
        array = _padded(array, fill)
    shrinks = min(array.shape[:2]) >= side
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(array, (side, side), interpolation=way)


def squared_mask(mask: np.ndarray, side: int, fit: str) -> np.ndarray:
    """Returns a mask [H,W] bool as a square, by the nearest pixel; margins are False."""
    padded = _padded(mask.astype(np.uint8), 0) if fit == PAD else mask.astype(np.uint8)
    rows, columns = ((np.arange(side) + 0.5) * length / side for length in padded.shape)
    return padded[rows.astype(int)[:, None], columns.astype(int)[None]] > 0


def _padded(array: np.ndarray, fill: float) -> np.ndarray:
    height, width = array.shape[:2]
    more = [(max(height, width) - length) for length in (height, width)]
    margins = [(m // 2, m - m // 2) for m in more] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, margins, constant_values=fill)


def min_max(array: np.ndarray) -> np.ndarray:
    """Returns a picture with its minimum at 0 and its maximum at 1; 0 where it is constant."""
    low, high = float(array.min()), float(array.max())
    return (array - low) / (high - low) if high > low else np.zeros_like(array)


# From (file, its number in the case) to image [H,W,C] in [0,1] and label, None where there is none.
ReadPicture = Callable[[PictureCase, int, Any], tuple[np.ndarray, Optional[np.ndarray]]]


def prepare_pictures(case: PictureCase, config: Any, read: ReadPicture) -> CaseSlices:
    """Returns the pictures of a case, numbered in their order.

    Args:
        case: with at least one picture.
        config: of the data set.
        read: function from (case, number of the picture, configuration) to the image float32
            [H,W,C] in [0,1] and its label.

    Raises UserError for a picture that cannot be read.
    """
    images, labels = zip(*(read(case, number, config) for number in range(len(case.paths))))
    label = None if labels[0] is None else np.stack(labels).astype(np.uint8)
    return CaseSlices(np.stack(images), label, np.arange(len(images)))


def verify_pictures(
    cases: Sequence[PictureCase],
    config: Any,
    cache: Path,
    again: bool = False,
    progress: bool = True,
    *,
    read: ReadPicture,
    first_lesion: int = 1,
) -> list[Verdict]:
    """Returns a verdict of each case: a sentence for each picture that `read` refuses."""

    def judge(case: PictureCase) -> Verdict:
        return _verdict(case, config, read, first_lesion)

    return verdict_of_each(cases, judge, progress)


def _verdict(case: PictureCase, config: Any, read: ReadPicture, first_lesion: int) -> Verdict:
    problems, lesions = [], None
    for number in range(len(case.paths)):
        try:
            _, label = read(case, number, config)
        except UserError as error:
            problems.append(str(error))
            continue
        if label is not None:
            lesions = (lesions or 0) + int(np.any(label >= first_lesion))
    return Verdict(case, tuple(problems), lesions=lesions)


def picture_dataset(name: str, read: ReadPicture, first_lesion: int = 1, **own: Any) -> DataSet:
    """Returns the description of a data set of pictures, squares of `config.size` pixels.

    Each picture is an image by itself, each case a patient.

    Args:
        name: of the data set, also for `verify_data.py`.
        read: reads one picture, see `prepare_pictures`.
        first_lesion: as in `DataSet`.
        own: further attributes of `DataSet`.
    """
    settings = {
        "classes": (),
        "regions": {},
        "patient_of": str,
        "settle": lambda cases, config: config,
        "prepare": partial(prepare_pictures, read=read),
        "size": lambda config: (config.size, config.size),
        "verify": partial(verify_pictures, read=read, first_lesion=first_lesion),
        "verify_script": f"experiments/verify_data.py --dataset {name}",
        "one_image": True,
    }
    return DataSet(name, first_lesion=first_lesion, **{**settings, **own})

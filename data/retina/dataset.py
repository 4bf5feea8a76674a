"""Colour photographs of the retina: DRIVE and FIRE together, and DRIVE with its vessels.

A folder holds `DRIVE` (`training/images/21_training.tif`, `test/images/01_test.tif`,
`1st_manual/21_manual1.gif`, `mask/21_training_mask.gif`) and `FIRE` (`Images/S01_1.jpg`). The two
photographs of a pair of FIRE show one eye and form one case. The photographs of DRIVE's test part
are held out, as in the thesis.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.contract import Phantom
from data.pictures import (
    FITS,
    PAD,
    PictureCase,
    as_grey,
    min_max,
    picture_dataset,
    picture_files,
    read_picture,
    squared,
    squared_mask,
)
from data.retina.phantom import cached_phantom
from data.retina.rough_label import masks
from data.splits import Split, published_split
from utils.errors import UserError, at_least, check_fields, one_of

PARTS = ("training", "test")
CLASSES = ("outside", "retina", "vessel")  # outside of the field of view
MINMAX, FIXED = "minmax", "fixed"
_DRIVE = re.compile(r"(\d+)_(training|test)", re.IGNORECASE)
_FIRE = re.compile(r"([A-Z]+\d+)_[12]", re.IGNORECASE)
_COLOURS = 255.0  # of 8 bits


@dataclass(frozen=True)
class RetinaConfig:
    """How photographs become squares in [0,1].

    Args:
        size: Side of the square, pixels.
        fit: pad (black margins) or stretch (the aspect ratio changes, as in the released code).
        scaling: minmax (minimum and maximum over all colours of a photograph) or fixed (0 to 255).
    """

    size: int = 512
    fit: str = PAD
    scaling: str = MINMAX

    def __post_init__(self) -> None:
        rules = {"fit": one_of(FITS), "scaling": one_of((MINMAX, FIXED))}
        check_fields(self, "--slicing.", size=at_least(16), **rules)


def drive_root(folder: Path) -> Path:
    """Returns the folder of DRIVE: `DRIVE` in a folder, or the folder itself."""
    return folder / "DRIVE" if (folder / "DRIVE").is_dir() else folder


def find_drive(folder: Path, config: RetinaConfig) -> list[PictureCase]:
    """Returns a case for each photograph of DRIVE, such as `drive_training_21`.

    Raises UserError if there is none, or for a name that is not one of DRIVE.
    """
    cases = []
    for part in PARTS:
        for path in picture_files(drive_root(Path(folder)) / part / "images"):
            match = _DRIVE.fullmatch(path.stem)
            if not match:
                raise UserError(
                    f"The name of {path} must be such as 21_{part}.tif; rename or remove it."
                )
            cases.append(PictureCase(f"drive_{part}_{match[1]}", (path,)))
    if not cases:
        raise UserError(
            f"{folder} must hold DRIVE/training/images with photographs such as 21_training.tif, "
            "found none; give the folder that holds DRIVE."
        )
    return cases


def find(folder: Path, config: RetinaConfig) -> list[PictureCase]:
    """Returns the cases of DRIVE, and one for each eye of FIRE, such as `fire_S01`.

    An empty folder FIRE/Images leaves FIRE out.

    Raises UserError if there is no DRIVE or no folder FIRE/Images, or for a name that is not one of
    these data sets.
    """
    drive, eyes = find_drive(folder, config), defaultdict(list)
    images = Path(folder) / "FIRE" / "Images"
    if not images.is_dir():
        raise UserError(
            f"{folder} must hold DRIVE and FIRE/Images with photographs such as S01_1.jpg, found "
            "no folder FIRE/Images; give the folder that holds both, or make an empty FIRE/Images "
            "to train on DRIVE alone."
        )
    for path in picture_files(images):
        match = _FIRE.fullmatch(path.stem)
        if not match:
            raise UserError(f"The name of {path} must be such as S01_1.jpg; rename or remove it.")
        eyes[f"fire_{match[1].upper()}"].append(path)
    fire = [PictureCase(name, tuple(paths)) for name, paths in sorted(eyes.items())]
    return [*drive, *fire]


def photograph(path: Path, config: RetinaConfig) -> np.ndarray:
    """Returns a photograph, float32 [H,W,3] in [0,1].

    Raises UserError for a file that is damaged, grey, or constant.
    """
    array = read_picture(path)
    if array.ndim != 3 or array.min() == array.max():
        raise UserError(
            f"The photograph {path} must have red, green and blue of several values, found an "
            f"array of {array.shape} with {array.min():g} to {array.max():g}; remove it."
        )
    image = squared(array, config.size, config.fit)
    return min_max(image) if config.scaling == MINMAX else np.clip(image / _COLOURS, 0, 1)


def read(case: PictureCase, number: int, config: RetinaConfig) -> tuple[np.ndarray, None]:
    """Returns one photograph without label; see `photograph`."""
    return photograph(case.paths[number], config), None


def read_vessels(
    case: PictureCase, number: int, config: RetinaConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Returns one photograph of DRIVE and its label uint8 [H,W], numbers of `CLASSES`.

    The vessels are those of the first observer.

    Raises UserError as `photograph` does, and for a label or a mask that is missing, damaged, of
    another size, or constant.
    """
    path = case.paths[number]
    picture = read_picture(path)
    image = photograph(path, config)
    if not has_vessels(case):
        raise UserError(
            f"The vessels of {path} must lie in {_vessels_of(path)}, found no such file; a newer "
            "release of DRIVE has none of its test part: move the folder test away, or get them."
        )
    parts = []
    for place in (_file(path.parents[1] / "mask" / f"{path.stem}_mask"), _vessels_of(path)):
        mask = as_grey(read_picture(place))
        if mask.shape != picture.shape[:2]:
            raise UserError(
                f"{place.name} has {mask.shape[0]}x{mask.shape[1]} pixels and its photograph "
                f"{path} {picture.shape[0]}x{picture.shape[1]}; replace one of them."
            )
        if mask.min() == mask.max():
            raise UserError(
                f"The mask {place.name} of {path} must have two values, found {mask.max():g} "
                "everywhere; fetch it again."
            )
        parts.append(squared_mask(mask > mask.max() / 2, config.size, config.fit))
    field, vessels = parts
    return image, np.where(field, 1 + vessels, 0).astype(np.uint8)


def has_vessels(case: PictureCase) -> bool:
    """Returns whether DRIVE has a photograph's vessels; a newer release lacks the test part's."""
    return _vessels_of(case.paths[0]).is_file()


def _vessels_of(path: Path) -> Path:
    return _file(path.parents[1] / "1st_manual" / f"{path.stem.partition('_')[0]}_manual1")


def _file(place: Path) -> Path:
    """Returns the picture of a name without suffix; that of a GIF if there is none."""
    found = [path for path in picture_files(place.parent) if path.stem == place.name]
    return found[0] if found else place.with_name(f"{place.name}.gif")


def divide(ids: Sequence[str], test_fraction: float, seed: int) -> Split:
    """Returns DRIVE's test part; of data without one a share of the eyes is held out."""
    return published_split(ids, "drive_test_", test_fraction, seed)


_SHARED = {
    "channels": ("red", "green", "blue"),
    "map_constants": "drive_fire",
    "phantoms": {
        "retina": Phantom(
            cached_phantom, "built-in phantom, retina (computed shapes, not medical data)"
        )
    },
}
RETINA = picture_dataset(
    "retina", read, **_SHARED, find=find, most_slices=lambda config: 2, masks=masks
)
VESSELS = picture_dataset(
    "drive",
    read_vessels,
    first_lesion=2,
    **_SHARED,
    classes=CLASSES,
    regions={"vessel": (2,)},
    find=find_drive,
    most_slices=lambda config: 1,
)

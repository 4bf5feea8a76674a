"""Kaggle's chest X-rays of children: normal, bacterial or viral pneumonia.

`chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg`. The kind of pneumonia stands in the name of
the file only. The pictures of one child form a case; the numbers of children start anew in `test`,
so that it cannot be checked whether a child is in both.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.chest_xray.phantom import cached_phantom
from data.contract import IMAGE, Phantom
from data.pictures import (
    FITS,
    STRETCH,
    PictureCase,
    as_grey,
    min_max,
    picture_dataset,
    picture_files,
    read_picture,
    squared,
)
from data.splits import Split, published_split, split_subjects
from utils.errors import UserError, at_least, check_fields, one_of

CLASSES = ("normal", "bacterial", "viral")
PARTS = {"train": "train", "val": "train", "test": "test"}  # folder -> part that its cases are of
LEAST_SIDE = 16  # pixels; smaller pictures are no X-rays
_NORMAL = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)*", re.IGNORECASE)
_PNEUMONIA = re.compile(r"(person\d+)_(bacteria|virus)_\d+", re.IGNORECASE)
_KINDS = {"bacteria": 1, "virus": 2}


@dataclass(frozen=True)
class XrayConfig:
    """How X-rays become squares; each is scaled from its minimum to its maximum.

    Args:
        size: Side of the square, pixels.
        fit: stretch (the aspect ratio changes, as in the released code) or pad (black margins).
    """

    size: int = 512
    fit: str = STRETCH

    def __post_init__(self) -> None:
        check_fields(self, "--slicing.", size=at_least(LEAST_SIDE), fit=one_of(FITS))


def find(folder: Path, config: XrayConfig) -> list[PictureCase]:
    """Returns a case for each child of each part, such as `train_person12` or `test_IM-0003`.

    Raises UserError for a folder without pictures or with a second copy of them inside, for a
    picture whose name tells neither child nor class, and for one that lies in two folders of a
    part.
    """
    folder = Path(folder)
    inner = folder / "chest_xray"
    if (inner / "train").is_dir() and (folder / "train").is_dir():
        raise UserError(
            f"{folder} holds the X-rays twice, in train and in chest_xray/train; remove one of the "
            f"two or give {inner}."
        )
    root = inner if (inner / "train").is_dir() else folder
    found: dict[str, list[tuple[Path, int]]] = defaultdict(list)
    names: dict[tuple[str, str], Path] = {}
    for part, of in PARTS.items():
        for kind in ("NORMAL", "PNEUMONIA"):
            for path in picture_files(root / part / kind):
                child, label = child_and_class(path, kind)
                if (of, path.stem) in names:
                    raise UserError(
                        f"{path} and {names[of, path.stem]} have one name; remove one of the two."
                    )
                names[of, path.stem] = path
                found[f"{of}_{child}"].append((path, label))
    if not found:
        raise UserError(
            f"{folder} must hold train/NORMAL, train/PNEUMONIA, test/NORMAL and test/PNEUMONIA "
            "with pictures such as person12_virus_3.jpeg and IM-0003-0001.jpeg, found none; give "
            "the folder chest_xray."
        )
    for kind in ("NORMAL", "PNEUMONIA"):
        train = root / "train" / kind
        if not picture_files(train):
            raise UserError(
                f"{train} must hold X-rays, found none; classes are asked for equally often, and "
                "structure maps are those of normal children."
            )
    return [
        PictureCase(name, *map(tuple, zip(*sorted(pictures))))
        for name, pictures in sorted(found.items())
    ]


def child_and_class(path: Path, kind: str) -> tuple[str, int]:
    """Returns the child of a picture and its class.

    Raises UserError for a name that is not one of the data set, or not one of `kind`'s folder.
    """
    normal, ill = (pattern.fullmatch(path.stem) for pattern in (_NORMAL, _PNEUMONIA))
    if kind == "NORMAL" and normal:
        return normal[1].upper(), 0
    if kind == "PNEUMONIA" and ill:
        return ill[1].lower(), _KINDS[ill[2].lower()]
    example = "IM-0003-0001.jpeg" if kind == "NORMAL" else "person12_virus_3.jpeg"
    raise UserError(
        f"The name of {path} must tell child and class, such as {example} in {kind}; rename or "
        "remove it."
    )


def read(case: PictureCase, number: int, config: XrayConfig) -> tuple[np.ndarray, np.ndarray]:
    """Returns one picture, float32 [H,W,1] in [0,1], and its class, uint8 [].

    Raises UserError for a file that is damaged, very small, or constant.
    """
    path = case.paths[number]
    grey = as_grey(read_picture(path))
    if min(grey.shape) < LEAST_SIDE or grey.min() == grey.max():
        raise UserError(
            f"The picture {path} must be an X-ray of {LEAST_SIDE} pixels or more, found "
            f"{grey.shape[0]}x{grey.shape[1]} with values {grey.min():g} to {grey.max():g}; "
            "remove it."
        )
    image = min_max(squared(grey, config.size, config.fit))
    return image[..., None], np.uint8(case.classes[number])


def is_normal(case_id: str) -> bool:
    """Returns whether a case is of a child without pneumonia."""
    return "IM-" in case_id


def divide(ids: Sequence[str], test_fraction: float, seed: int) -> Split:
    """Returns the published test part; of data without one a share of each kind of children.

    Raises UserError if the training part has only normal or no normal children: structure maps are
    those of normal ones, and classes are asked for equally often.
    """
    if any(name.startswith("test_") for name in ids):
        split = published_split(ids, "test_", test_fraction, seed)
    else:
        kinds = [[name for name in ids if is_normal(name) is kind] for kind in (True, False)]
        parts = [split_subjects(k, test_fraction, seed=seed, patient_of=str) for k in kinds if k]
        both = zip(*((part.train, part.test) for part in parts))
        split = Split(*(tuple(sorted(itertools.chain(*part))) for part in both))
    kinds = {is_normal(name) for name in split.train}
    for kind, word in ((True, "normal"), (False, "ill")):
        if kind not in kinds:
            raise UserError(
                f"The training part must have normal and ill children, found no {word} one among "
                f"{len(split.train)}; add them to train/{'NORMAL' if kind else 'PNEUMONIA'}."
            )
    return split


CHEST_XRAY = picture_dataset(
    "chest_xray",
    read,
    channels=("X-ray",),
    classes=CLASSES,
    map_constants="chest_xray",
    find=find,
    phantoms={
        "chest": Phantom(
            cached_phantom, "built-in phantom, chest X-ray (computed shapes, not medical data)"
        )
    },
    most_slices=lambda config: 16,
    label_kind=IMAGE,
)

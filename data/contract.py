"""What a data set is, and the batch dictionary through which data and models meet.

Keys of every batch of a data set (B batch, H x W the slice, or D x H x W the volume, M channels):

| key | shape | type | content |
| --- | --- | --- | --- |
| images | [B,(D,)H,W,M] | float32 | [0,1], scaled per volume or slice; order `DataSet.channels` |
| label | [B,(D,)H,W,1] | int32 | numbers of `DataSet.classes`; absent where there are none |
| boxes | [B,N,5] | float32 | rows (class, cx, cy, w, h), see `data.boxes`; of label kind "boxes" |
| structure | [B,(D,)H,W,K] | float32 | 0/1, Algorithm 1; K = `DataSet.map_channels` |
| outside | [B,(D,)H,W,K] | float32 | 1 = outside the organ, Algorithm 2 |

Where the label is one class of the whole image, `label` is that class at every pixel; where it is
boxes, `label` is the class of the lesion that lies there, the ellipse in its box.

A training batch also holds two keys of shape [B,2], int32: `seed`, and `source` (index of the case,
number of the slice, see `CaseSlices`). If a stage needs them, it also holds `unpaired_images`,
`random_structure`, `random_outside`, `random_label` and `random_boxes`; each has the shape, type
and content of the key without the prefix: `random_label` is like `label`. There are no other keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Protocol

import numpy as np

from data.verdicts import Verdict
from utils.errors import UserError

Config = Any  # a data set's own dataclass: which part of a case is used, and how
MAPS = ("structure", "outside")
PIXELS, IMAGE, BOXES = "pixels", "image", "boxes"  # what a label has classes of
BOX_ROW = 5  # class, cx, cy, w, h


class Case(Protocol):
    """The files of one case in a folder, complete or not.

    Attributes:
        id: name of the case, unique in the folder.
        paths: all files of the case, in a fixed order.
    """

    id: str
    paths: tuple[Path, ...]

    def problems(self) -> list[UserError]:
        """Returns an error for everything that is wrong with the choice of files."""


class Place(NamedTuple):
    """Where the voxels of a volume lie in the scanner, its axes in LPS order.

    Attributes:
        origin: centre of the voxel from which rows, columns and slices count, (x, y, z) in mm.
        direction: cosines of the axes, row-major 3x3.
    """

    origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class CaseSlices(NamedTuple):
    """The prepared slices (or volumes) of one case, in ascending order.

    Attributes:
        images: float32 [N,(D,)H,W,M] in [0,1].
        label: uint8 [N,(D,)H,W], numbers of classes; of kind "image" uint8 [N]; of kind "boxes"
            float32 [N,`DataSet.most_boxes`,5]; None for a data set without label.
        index: int64 [N], number of each slice, counted from `place`; in all cases the same number
            is the same height.
        place: position of the volume.
        skipped: how many slices were left out as empty.
    """

    images: np.ndarray
    label: Optional[np.ndarray]
    index: np.ndarray
    place: Place = Place()
    skipped: int = 0


@dataclass(frozen=True)
class Phantom:
    """A built-in stand-in for data.

    Attributes:
        make: function from (cache folder, number of cases, seed) to the folder with the cases,
            which it makes if it is missing.
        note: description for reports, which says that it is not real.
        write_tissues: function from (folder that `make` returned, number of cases, seed) that adds
            a map of the tissues of each case, `data.brats.tissues`; None = it has none.
        terms: whose terms govern it, where it was made from somebody else's data.
    """

    make: Callable[[Path, int, int], Path]
    note: str
    write_tissues: Optional[Callable[[Path, int, int], None]] = None
    terms: str = ""


@dataclass(frozen=True, eq=False)
class DataSet:
    """What the images and labels of a data set are, and how they come from a user's folder.

    Its functions raise UserError for whatever is wrong with the folder or the configuration.

    Attributes:
        name: short, such as "brats".
        channels: names of the images' channels, in the batch's order.
        classes: names of the label's classes, background first; () = there is no label.
        regions: unions of classes that are scored together, by name.
        map_constants: key of `data.structure_maps.extraction.DATASETS`, how its maps are cut.
        patient_of: function from a case's id to its patient's name, the same for all cases of one
            patient.
        find: function from (folder, configuration) to the cases in the folder.
        phantoms: the built-in stand-ins for data by name, see the configurations' `phantom`.
        settle: function from (cases, configuration) to the configuration in which the values that
            the cases decide are filled in; settling twice changes nothing. UserError if the cases
            contradict it or each other.
        prepare: function from (case, settled configuration) to the slices of the case.
        size: function from the configuration to (H, W) or (D, H, W) of the prepared slices, pixels.
        most_slices: function from the configuration to how many slices a case has at most, as far
            as that is known before it is read; the disk space is reckoned with it.
        verify: function from (cases, configuration, cache folder), with the options `again` and
            `progress`, to a `Verdict` of each case, like `data.brats.verification.verify_cases`.
        rank: 2 for slices, 3 for volumes.
        verify_script: command that prints what `verify` finds of --data; "" = there is none.
        label_kind: "pixels", a class of each pixel; "image", one of the whole slice; "boxes", one
            of each box.
        most_boxes: boxes of a slice at most, where its label is boxes.
        one_image: whether the channels are those of one image, such as its colours or neighbouring
            slices; otherwise they are modalities, which may come from different patients.
        map_channels: structure maps, and masks, of a slice: 1, or one for each channel.
        masks: of a data set without labels, function from the map and mask of a generated image
            [H,W] to masks by name, bool [H,W], which an export writes.
        first_lesion: number of the first class that is part of a lesion; those before are the
            background and, where they are told apart, normal tissue.
        organ: number of the class of the organ that lesions lie in; None = it is no class. It may
            be missing in prepared labels: they then are background inside of it, where images are
            above 0, which they are nowhere else.
    """

    name: str
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    regions: Mapping[str, tuple[int, ...]]
    map_constants: str
    patient_of: Callable[[str], str]
    find: Callable[[Path, Config], Sequence[Case]]
    phantoms: Mapping[str, Phantom]
    settle: Callable[[Sequence[Case], Config], Config]
    prepare: Callable[[Case, Config], CaseSlices]
    size: Callable[[Config], tuple[int, ...]]
    most_slices: Callable[[Config], int]
    verify: Callable[..., list[Verdict]]
    rank: int = 2
    verify_script: str = ""
    first_lesion: int = 1
    organ: Optional[int] = None
    label_kind: str = PIXELS
    most_boxes: int = 0
    one_image: bool = False
    map_channels: int = 1
    masks: Optional[Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]] = None

    @property
    def num_classes(self) -> int:
        """The number of classes, background included; 0 without label."""
        return len(self.classes)

    @property
    def organ_first(self) -> tuple[int, ...]:
        """Background, organ and the classes of a lesion: their order in `data.manipulation`."""
        lesion = (number for number in range(self.first_lesion, self.num_classes))
        return (0, self.organ, *(number for number in lesion if number != self.organ))

    @property
    def cut_from_volumes(self) -> bool:
        """Whether --slicing.slices chooses its slices, of volumes of several modalities."""
        return self.rank == 2 and not self.one_image

    def lesion_of(self, label: np.ndarray) -> np.ndarray:
        """Returns a label of any shape with the lesion's classes alone, 0 elsewhere."""
        return np.where(label >= self.first_lesion, label, 0)

    @property
    def has_label(self) -> bool:
        """Whether its batches have a label."""
        return bool(self.classes)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of each of its batches: images, and label where there is one."""
        boxes = ("boxes",) if self.label_kind == BOXES else ()
        return ("images", "label", *boxes) if self.has_label else ("images",)

    def classes_in(self, label: np.ndarray) -> np.ndarray:
        """Returns the class numbers in a label of `CaseSlices`."""
        return label[..., 0] if self.label_kind == BOXES else label

    def check_label(self, what: str) -> None:
        """Raises UserError if there is no label, which `what` needs."""
        if not self.has_label:
            raise UserError(
                f"The data set {self.name} has no label, which {what} need; leave them out or take "
                "a data set with labels."
            )

    def check_no_boxes(self, what: str) -> None:
        """Raises UserError where labels are boxes; `what` begins the message."""
        if self.label_kind == BOXES:
            raise UserError(
                f"{what} with their labels, but the labels of {self.name} are boxes, which would "
                "stay where they are; leave that out."
            )

    def check_slices(self, what: str) -> None:
        """Raises UserError for volumes; `what` begins the message, such as "Maps are cut"."""
        if self.rank != 2:
            raise UserError(
                f"{what} in two dimensions only, but the data set {self.name} has volumes; leave "
                "that out or take a data set of slices."
            )

    def class_number(self, name: str) -> int:
        """Returns the number of a class; UserError if there is none of that name."""
        if name not in self.classes:
            raise UserError(
                f"The data set {self.name} has no class {name!r}; give one of "
                f"{', '.join(self.classes) or 'another data set'}."
            )
        return self.classes.index(name)


class _Content(NamedTuple):
    kind: str
    tail: tuple[int, ...]  # the last sides of the array
    accepts: Callable[[np.ndarray], np.ndarray]
    words: str
    spatial: bool = True


def _contents(dataset: DataSet) -> dict[str, _Content]:
    """Returns what each key of a data set's batches holds."""
    images = _Content(
        "float32", (len(dataset.channels),), lambda v: (v >= 0) & (v <= 1), "numbers in [0,1]"
    )
    contents = {"images": images, "unpaired_images": images}
    if dataset.has_label:
        classes = dataset.num_classes
        label = _Content(
            "int32", (1,), lambda v: (v >= 0) & (v < classes), f"classes 0..{classes - 1}"
        )
        contents.update(label=label, random_label=label)
    if dataset.label_kind == BOXES:
        tail = (dataset.most_boxes, BOX_ROW)
        boxes = _Content("float32", tail, lambda v: v >= 0, "numbers of 0 or more", False)
        contents.update(boxes=boxes, random_boxes=boxes)
    tail = (dataset.map_channels,)
    binary = _Content("float32", tail, lambda v: (v == 0) | (v == 1), "only 0 and 1")
    for name in MAPS:
        contents.update({name: binary, f"random_{name}": binary})
    seed = _Content("int32", (2,), lambda v: np.full(v.shape, True), "any numbers", False)
    source = _Content("int32", (2,), lambda v: v >= 0, "numbers of 0 or more", False)
    return {**contents, "seed": seed, "source": source}


def check_batch(
    batch: Mapping[str, np.ndarray], dataset: DataSet, required: Optional[Sequence[str]] = None
) -> None:
    """Raises UserError if a batch (of arrays or eager tensors) breaks the contract above.

    Args:
        batch: arrays by key; those beyond the required ones are checked as well.
        dataset: the data set that the batch comes from; it defines channels and classes.
        required: keys that must be there; None = `dataset.keys` and the maps.
    """
    contents = _contents(dataset)
    missing = [k for k in required or (*dataset.keys, *MAPS) if k not in batch]
    if missing:
        raise UserError(
            f"Batch key {missing[0]} is missing; the pipeline must make it, or the stage leave it "
            "out of its keys."
        )
    unknown = [key for key in batch if key not in contents]
    if unknown:
        raise UserError(
            f"Batch key {unknown[0]} is unknown to the data set {dataset.name}, whose batches have "
            f"{', '.join(contents)}; check the data pipeline."
        )
    sides = tuple(batch["images"].shape)[: 1 + dataset.rank]
    for key, values in batch.items():
        content, values = contents[key], np.asarray(values)
        size = (*(sides if content.spatial else sides[:1]), *content.tail)
        wrong = values[~content.accepts(values)]
        if values.shape != size or values.dtype != content.kind or wrong.size:
            example = f" with {wrong[0]}" if wrong.size else ""
            raise UserError(
                f"Batch key {key} must be {content.kind} {list(size)} of {content.words}, found "
                f"{values.dtype} {list(values.shape)}{example}; check the data pipeline."
            )


def batch_shapes(
    dataset: DataSet, batch_size: int, size: tuple[int, ...]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns shape and type of every key of a batch of slices of a size, pixels."""
    return {
        key: ((batch_size, *(size if content.spatial else ()), *content.tail), content.kind)
        for key, content in _contents(dataset).items()
    }

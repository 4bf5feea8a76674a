"""An nnU-Net raw folder as a data set; normal brain is a class of its label.

Volumes are cut and scaled as those of BRATS are: their voxels are 1 mm wide or made so
(`--slicing.resample`), and ranges count in a frame in the middle of each volume
(`--slicing.frame`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable

import numpy as np

from data.brats.dataset import most_slices
from data.brats.preparation import chosen_slices, in_frame, read_case, slices_with_signal
from data.brats.scaling import scaled_slices, shrunk_label
from data.brats.slices import SliceConfig, output_size
from data.brats.windows import check_crop, cut
from data.brats.with_brain import BRAIN, brain_mask
from data.contract import Case, CaseSlices, DataSet, Phantom
from data.nnunet.description import Description
from data.verdicts import Verdict
from utils.errors import UserError


@dataclass(frozen=True)
class RawCase:
    """One case: a file for each modality, and the label."""

    id: str
    images: tuple[Path, ...]
    label: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the label last."""
        return (*self.images, self.label)

    def problems(self) -> list[UserError]:
        """Returns an error for each file that is missing."""
        missing = [path for path in self.paths if not path.is_file()]
        return [UserError(f"The volume {path} does not exist; add it") for path in missing]


def described_dataset(
    description: Description, name: str = "nnunet", phantoms: Mapping[str, Phantom] = {}
) -> DataSet:
    """Returns the data set of an nnU-Net raw folder.

    Its only region is "wt", all lesion labels together.
    """
    classes = description.classes
    return DataSet(
        name=name,
        channels=description.channels,
        classes=classes,
        regions={"wt": tuple(range(BRAIN + 1, len(classes)))},
        map_constants="brats2015",
        patient_of=str,
        find=partial(find, description=description),
        phantoms=phantoms,
        settle=lambda cases, config: config,
        prepare=partial(prepare, description=description),
        size=output_size,
        most_slices=most_slices,
        verify=partial(verify, prepare=partial(prepare, description=description)),
        first_lesion=BRAIN + 1,
    )


def with_own_classes(description: Description) -> tuple[DataSet, tuple[int, ...]]:
    """Returns the data set in the classes that dataset.json names.

    The second value is the number among them of each class of `described_dataset`: normal brain is
    background where dataset.json does not name it.
    """
    labels, first = description.labels, BRAIN + description.has_brain
    numbers = tuple(range(len(labels)))
    own = replace(
        described_dataset(description),
        classes=labels,
        regions={"wt": numbers[first:]},
        first_lesion=first,
    )
    return own, numbers if description.has_brain else (0, *numbers)


def find(folder: Path, config: SliceConfig, description: Description) -> list[RawCase]:
    """Returns the training cases of a raw folder, those that have a label.

    Raises UserError if there are none.
    """
    folder, ending = Path(folder), description.ending
    labels = sorted((folder / "labelsTr").glob(f"*{ending}"))
    if not labels:
        raise UserError(
            f"{folder / 'labelsTr'} has no file with the ending {ending}; give an nnU-Net raw "
            "folder with training cases"
        )
    cases = []
    for label in labels:
        case = label.name[: -len(ending)]
        files = (f"{case}_{k:04d}{ending}" for k in range(len(description.channels)))
        cases.append(RawCase(case, tuple(folder / "imagesTr" / file for file in files), label))
    return cases


def prepare(case: RawCase, config: SliceConfig, description: Description) -> CaseSlices:
    """Returns the slices of a case.

    Raises UserError for a file that is missing or damaged, grids that differ or are not of 1 mm, a
    volume that is smaller than the crop or cannot be scaled, unknown label values, or no signal.
    """
    for problem in case.problems():
        raise problem
    volumes = read_case(case.paths, (case.label,), config)
    whole, what = volumes[case.label], f"Case {case.id}"
    check_crop(f"{what} ({case.label})", whole.array.shape, config)
    arrays = {path: volumes[path].array for path in case.images}
    axial = chosen_slices(what, arrays, config)
    images = scaled_slices(arrays, axial, config)
    known = known_values(case.label, whole.array, description)
    label = shrunk_label(cut(known, axial, config), config, len(description.labels))
    label = labelled(label, images, description)
    kept = slices_with_signal(what, images, config)
    skipped = most_slices(config) - len(kept)
    index, place = in_frame(axial[kept], whole, config)
    return CaseSlices(images[kept], label[kept], index, place, skipped)


def labelled(label: np.ndarray, images: np.ndarray, description: Description) -> np.ndarray:
    """Returns classes, uint8 [N,H,W], of values: brain is found where dataset.json has none.

    Args:
        label: [N,H,W], the values that dataset.json names.
        images: [N,H,W,M] in [0,1], 0 outside of the brain.
        description: of the folder.
    """
    if description.has_brain:
        return label.astype(np.uint8)
    lesion = np.where(label > 0, label + BRAIN, 0).astype(np.uint8)
    return np.where(lesion, lesion, brain_mask(images, lesion) * np.uint8(BRAIN))


def known_values(path: Path, array: np.ndarray, description: Description) -> np.ndarray:
    """Returns a label's values as uint8; UserError for one that dataset.json does not name."""
    values = range(len(description.labels))
    unknown = array[~np.isin(array, values)]
    if unknown.size:
        names = ", ".join(f"{value} {name}" for value, name in enumerate(description.labels))
        raise UserError(
            f"The label {path} holds the value {unknown[0]:g}, which dataset.json does not name "
            f"({names}); correct one of the two"
        )
    return array.astype(np.uint8)


def verify(
    cases: Sequence[Case],
    config: SliceConfig,
    cache: Path,
    prepare: Callable[[Any, SliceConfig], CaseSlices],
    **options: Any,
) -> list[Verdict]:
    """Returns a verdict of each case: what `prepare` refuses, or the number of lesion slices."""
    verdicts = []
    for case in cases:
        try:
            slices = prepare(case, config)
            lesions = int((slices.label > BRAIN).any(axis=(1, 2)).sum())
            verdicts.append(Verdict(case, (), lesions=lesions))
        except UserError as error:
            verdicts.append(Verdict(case, (str(error),)))
    return verdicts

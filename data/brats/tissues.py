"""A data set in whose label normal brain is CSF, grey matter and white matter.

The one-hot label of such a data set is what Shin et al. draw images from: the tumour's label and
masks of the three tissues. The tissues come from a folder of their own, by default `tissue_maps` in
the data folder, with a label volume for each case, named by the case's id: 1 CSF, 2 grey matter, 3
white matter, 0 what is none of them. Where brain has no tissue in the map, it has the nearest one
of its slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np

from data.brats.names import TISSUE_FOLDER, TISSUES
from data.brats.preparation import read_case
from data.brats.scaling import shrunk_label
from data.brats.slices import SliceConfig
from data.brats.windows import cut, frame_start
from data.contract import Case, CaseSlices, DataSet, Phantom
from data.manipulation import BRAIN, LESION, nearest_label
from data.verdicts import Verdict
from data.volumes import SUFFIXES
from utils.errors import UserError

VALUES = ", ".join(f"{value} {name}" for value, name in enumerate(TISSUES, start=1))
MORE = len(TISSUES) - 1  # classes than with plain brain


@dataclass(frozen=True)
class TissueCase:
    """A case of the data set with plain brain, and its map of tissues."""

    case: Case
    tissues: Path

    @property
    def id(self) -> str:
        """The name of the case."""
        return self.case.id

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the map last."""
        return (*self.case.paths, self.tissues)

    def problems(self) -> list[UserError]:
        """Returns those of the case, and an error if there is no map."""
        found = self.case.problems()
        if not self.tissues.is_file():
            found.append(UserError(f"The tissue map {self.tissues} does not exist; add it"))
        return found


def with_tissues(base: DataSet, maps: Optional[str] = None) -> DataSet:
    """Returns the data set `base`, whose class 1 is normal brain, with tissues in its place.

    `maps` is the folder of the maps, by default `TISSUE_FOLDER` in the data folder.
    """
    phantoms = {
        name: replace(phantom, make=partial(_make, phantom=phantom))
        for name, phantom in base.phantoms.items()
    }
    return replace(
        base,
        name=f"{base.name}_tissues",
        classes=(base.classes[0], *TISSUES, *base.classes[base.first_lesion :]),
        regions={name: tuple(v + MORE for v in values) for name, values in base.regions.items()},
        first_lesion=base.first_lesion + MORE,
        find=partial(find, base=base, maps=maps),
        phantoms=phantoms,
        settle=lambda cases, config: base.settle([each.case for each in cases], config),
        prepare=partial(prepare, base=base),
        verify=partial(verify, base=base),
        verify_script="",  # it does not read the maps
    )


def _make(cache: Path, cases: int, seed: int, phantom: Phantom) -> Path:
    folder = phantom.make(cache, cases, seed)
    phantom.write_tissues(folder, cases, seed)
    return folder


def find(folder: Path, config: SliceConfig, base: DataSet, maps: Optional[str]) -> list[TissueCase]:
    """Returns the cases of a folder with their maps; UserError if there is no folder of maps."""
    where = Path(folder) / TISSUE_FOLDER if maps is None else Path(maps).expanduser()
    if not where.is_dir():
        raise UserError(
            f"--tissue_maps must be a folder with a map of each case's tissues, such as <case "
            f"id>.nii.gz with {VALUES}, found no folder {where}; add it, or leave out the methods "
            "that need it (shin, samr.tissues)"
        )
    return [TissueCase(case, _map_of(where, case.id)) for case in base.find(folder, config)]


def _map_of(maps: Path, case: str) -> Path:
    paths = [maps / f"{case}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.is_file()), paths[0])


def prepare(case: TissueCase, config: SliceConfig, base: DataSet) -> CaseSlices:
    """Returns the slices of a case, with tissues in the label.

    Raises UserError for what `base` refuses, and as `read_tissues` does.
    """
    slices = base.prepare(case.case, config)
    tissues = read_tissues(case, config)
    tissues = cut(tissues, slices.index + frame_start(tissues.shape, config)[0], config)
    shown = shrunk_label(tissues, config, len(TISSUES) + 1)
    return slices._replace(label=tissue_label(slices.label, shown))


def read_tissues(case: TissueCase, config: SliceConfig) -> np.ndarray:
    """Returns the tissues of a case, uint8 [D,H,W].

    Raises UserError for a map that is missing or damaged, lies on another grid than the case's
    label, lacks a tissue or has other values.
    """
    pair = (case.case.paths[-1], case.tissues)
    array = read_case(pair, pair, config)[case.tissues].array
    values = np.unique(array)
    if not np.array_equal(values[values != 0], range(1, len(TISSUES) + 1)):
        found = ", ".join(f"{value:g}" for value in values[: len(TISSUES) + 2])
        raise UserError(
            f"The tissue map {case.tissues} must have the values {VALUES}, and 0 elsewhere, found "
            f"{found}; correct it"
        )
    return array.astype(np.uint8)


def tissue_label(label: np.ndarray, tissues: np.ndarray) -> np.ndarray:
    """Returns a label in which brain is divided into its tissues, uint8 [N,H,W].

    Args:
        label: [N,H,W], 0 background, 1 brain, lesion from 2 on.
        tissues: [N,H,W], 0 where none is known.
    """
    brain, last = label == BRAIN, len(TISSUES)
    nearest = [nearest_label(*pair, last) for pair in zip(tissues, brain & (tissues > 0))]
    return np.where(brain, np.stack(nearest), label + MORE * (label >= LESION)).astype(np.uint8)


def with_plain_brain(label: np.ndarray, first_lesion: int) -> np.ndarray:
    """Returns a label [...] with normal brain as class 1 and the lesion from 2 on.

    `first_lesion` is the first class of the lesion in `label`.
    """
    lesion = label - (first_lesion - LESION)
    return np.where(label >= first_lesion, lesion, np.minimum(label, BRAIN)).astype(label.dtype)


def verify(
    cases: Sequence[TissueCase], config: SliceConfig, cache: Path, base: DataSet, **options: Any
) -> list[Verdict]:
    """Returns the verdicts of `base`, with what `read_tissues` refuses."""
    verdicts = base.verify([case.case for case in cases], config, cache, **options)
    return [
        replace(
            verdict,
            case=case,
            problems=tuple(dict.fromkeys((*verdict.problems, *_bad(case, config)))),
        )
        for case, verdict in zip(cases, verdicts)
    ]


def _bad(case: TissueCase, config: SliceConfig) -> list[str]:
    try:
        read_tissues(case, config)
    except UserError as error:
        return [str(error)]
    return []

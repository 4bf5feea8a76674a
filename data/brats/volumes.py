"""BRATS cases as volumes, for systems of three dimensions.

A case becomes one volume of four modalities around its brain, on voxels of any size. Intensities
are z-scores inside of the brain, cut at `LIMIT` and scaled to (0,1]; 0 is outside of it. The label
has BraTS' values since 2017, with "brain" in their gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Optional

import numpy as np

from data.brats.dataset import BRATS, find
from data.brats.label_schemes import check_scheme, resolve_scheme, to_2015
from data.brats.layouts import layout_text
from data.brats.names import MODALITIES
from data.brats.namings import patient_of
from data.brats.scaling import background
from data.brats.subjects import Case
from data.contract import CaseSlices, DataSet
from data.cropping import CropConfig, cropped, inside_only, verify_volumes, volume_size
from data.grids import Volume, check_same_geometry
from data.resampling import resampled
from data.volumes import read_volume
from utils.errors import UserError

CLASSES = ("background", "core", "oedema", "brain", "enhancing")
TO_2015 = (0, 1, 2, 0, 4)  # the classes as BRATS 2015 numbers them, for schemes of one core
REGIONS = {"wt": (1, 2, 4), "tc": (1, 4), "et": (4,)}
BRAIN, NON_ENHANCING = 3, 3  # of `CLASSES`; of BRATS 2015, where it is a class of the tumour's core
LIMIT = 5.0  # z-scores beyond are cut


@dataclass(frozen=True)
class VolumeConfig(CropConfig):
    """Which part of each scan becomes a volume, and of what voxels.

    Args:
        label_scheme: What the label values mean: a release, or such as 1=necrosis,2=oedema; needed
            where names and dataset.json do not tell.
        layout: YAML file that tells which files hold which modality, for unknown file names; the
            run keeps its content.
    """

    crop: tuple[float, float, float] = (150.0, 200.0, 160.0)
    label_scheme: Optional[str] = None
    layout: Optional[str] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scheme(self.label_scheme)
        if self.layout is not None:  # a run records what the file says: resumed, it needs no file
            object.__setattr__(self, "layout", layout_text(self.layout))


def prepare(case: Case, config: VolumeConfig) -> CaseSlices:
    """Returns the one volume of a case.

    Args:
        case: complete.
        config: with a label scheme.

    Raises:
        UserError: a file that is missing, twice there or unreadable, differing geometries, label
            values outside of the scheme, or a modality without brain.
    """
    subject = case.subject()
    paths = [subject.images[modality] for modality in MODALITIES]
    stored = {path: read_volume(path) for path in (*paths, subject.label)}
    check_same_geometry(stored)
    images = np.stack([_on_voxels(path, stored[path], config) for path in paths], axis=-1)
    label = stored[subject.label]
    classes = classes_of(label.array, config.label_scheme, subject.label)
    label = resampled(replace(label, array=classes), config.spacing[::-1], label=True)
    return cropped(images.max(axis=-1) > 0, images, label.array, label, config)


def classes_of(label: np.ndarray, scheme: str, path: Path) -> np.ndarray:
    """Returns a file's label [D,H,W] in `CLASSES`, without brain, uint8.

    Raises UserError for values outside of the scheme.
    """
    found = to_2015(label, scheme, path)
    return np.where(found == NON_ENHANCING, 1, found).astype(np.uint8)


def _on_voxels(path: Path, volume: Volume, config: VolumeConfig) -> np.ndarray:
    """Returns a modality float32 [D,H,W] in [0,1] on the configured voxels."""
    empty = background(volume.array)
    brain = volume.array != (0 if empty is None else empty)
    spacing = config.spacing[::-1]
    share = resampled(replace(volume, array=brain.astype(np.float32)), spacing, label=False)
    inside = share.array >= 0.5
    new = resampled(replace(volume, array=volume.array.astype(np.float32)), spacing, label=False)
    values = new.array[inside]
    if values.size < 2 or not values.std():
        raise UserError(
            f"The volume {path} must show a brain on a constant background, found none; remove the "
            "case."
        )
    scores = np.clip((new.array - values.mean()) / values.std(), -LIMIT, LIMIT)
    return inside_only((scores / LIMIT + 1) / 2, inside)


def _settle(cases: Sequence[Case], config: VolumeConfig) -> VolumeConfig:
    return replace(config, label_scheme=resolve_scheme(cases, config.label_scheme))


BRATS_VOLUMES = DataSet(
    name="brats_volumes",
    channels=MODALITIES,
    classes=CLASSES,
    regions=REGIONS,
    map_constants=BRATS.map_constants,
    patient_of=patient_of,
    find=find,
    phantoms=BRATS.phantoms,
    settle=_settle,
    prepare=prepare,
    size=volume_size,
    most_slices=lambda config: 1,
    verify=partial(verify_volumes, prepare=prepare),
    verify_script=BRATS.verify_script,
    rank=3,
    organ=BRAIN,
)

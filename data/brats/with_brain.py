"""BRATS with normal brain as a class: for systems that draw a slice from its label alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from data.brats.dataset import BRATS, prepare_case
from data.brats.label_schemes import values_in
from data.brats.slices import SliceConfig
from data.brats.subjects import Case
from data.contract import CaseSlices
from utils.errors import UserError

BRAIN, CORE = 1, 3
# BRATS 2015's background, necrosis, oedema, non-enhancing and enhancing tumour.
FROM_2015 = np.array([0, 3, 2, 3, 4], np.uint8)
TO_2015 = (0, 0, 2, 1, 4)  # for schemes of `check_core`, where necrosis stands for all of the core


def label_with_brain(images: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Returns the label with normal brain: where a modality is not 0, holes filled, no lesion is.

    Args:
        images: [N,H,W,M] in [0,1], 0 outside of the brain.
        label: [N,H,W], BRATS 2015's classes.
    """
    lesion = FROM_2015[label]
    brain = brain_mask(images, lesion)
    return np.where(lesion, lesion, brain * np.uint8(BRAIN)).astype(np.uint8)


def brain_mask(images: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Returns where the brain is, bool [N,H,W]: a modality is not 0 or a lesion is; no holes.

    Args:
        images: [N,H,W,M] in [0,1], 0 outside of the brain.
        lesion: [N,H,W], above 0 in a lesion.
    """
    seen = (images > 0).any(axis=-1) | (lesion > 0)
    return np.stack([ndimage.binary_fill_holes(mask) for mask in seen])


def prepare_with_brain(case: Case, config: SliceConfig) -> CaseSlices:
    """Returns the slices of a case as `prepare_case` does, normal brain labelled."""
    slices = prepare_case(case, config)
    return slices._replace(label=label_with_brain(slices.images, slices.label))


def check_core(scheme: str, option: str) -> None:
    """Raises UserError for a label scheme without one value for all of the core.

    `option` names what asks for the scheme.
    """
    values = values_in(scheme, option)
    if len({value for value, own in zip(values, FROM_2015) if own == CORE}) > 1:
        raise UserError(
            f"{option} {scheme} has different values for necrosis and non-enhancing tumour, which "
            "are one class, core, in the run; give brats2020, brats2023 or brats2024"
        )


BRATS_WITH_BRAIN = replace(
    BRATS,
    name="brats_with_brain",
    classes=("background", "brain", "oedema", "core", "enhancing"),
    regions={"wt": (2, 3, 4), "tc": (3, 4), "et": (4,)},
    prepare=prepare_with_brain,
    first_lesion=2,
)

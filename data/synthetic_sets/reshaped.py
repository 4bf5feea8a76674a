"""New label maps of volumes: the tumour alone is flipped, deformed, turned and scaled.

Source: MM-GAN's augmentation, which names these four and no amounts; the amounts are our reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

import numpy as np

from data.contract import Place
from data.manipulation import (
    LESION,
    Change,
    deformed,
    mirrored,
    resized,
    turned,
    until_a_lesion_is_left,
)
from data.synthetic_sets.changed import MOST_TRIES, ChangedLabel, nothing_fits
from utils.errors import NOT_NEGATIVE, Rule, UserError, at_least, between, check_fields

_RANGE = Rule(
    "two numbers above 0 in ascending order", lambda pair: 0 < pair[0] <= pair[1] < float("inf")
)


@dataclass(frozen=True)
class ReshapedConfig:
    """How many new patients there are, and how much their tumours differ from the sources'.

    Args:
        samples: number of samples (patients with all volumes).
        flip: probability that the tumour is flipped left to right, 0..1.
        deformation: largest displacement of the elastic deformation, mm; 0 = off.
        smoothness: sigma of the deformation's Gaussian, mm: from, to.
        rotation: largest angle in each of the three planes, degrees, in either direction.
        scale: factor of the tumour's length: from, to.
    """

    samples: int = 855
    flip: float = 0.5
    deformation: float = 6.0
    smoothness: tuple[float, float] = (8.0, 12.0)
    rotation: float = 20.0
    scale: tuple[float, float] = (0.7, 1.3)

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--dataset.",
            samples=at_least(1),
            flip=between(0, 1),
            deformation=NOT_NEGATIVE,
            smoothness=_RANGE,
            rotation=between(0, 180),
            scale=_RANGE,
        )


def reshaped(
    label: np.ndarray,
    config: ReshapedConfig,
    spacing: Sequence[float],
    rng: np.random.Generator,
    first_lesion: int = LESION,
) -> Change:
    """Returns a map [D,H,W] whose lesion is changed, drawn anew until a part of it is in the brain.

    Args:
        label: the map, see `data.manipulation`.
        config: the amounts.
        spacing: depth, height and width of a voxel, mm.
        rng: source of the random numbers.
        first_lesion: the first label of the lesion.

    Raises UserError without a lesion, or if no draw left any of it.
    """

    def draw() -> Change:
        words, new = [], label
        if rng.random() < config.flip:
            words, new = ["mirror"], mirrored(new, first_lesion)
        if config.deformation:
            size, sigma = rng.uniform(0, config.deformation), rng.uniform(*config.smoothness)
            words.append(f"deform:{size:.2f}:{sigma:.2f}")
            new = deformed(new, size, sigma, rng, first_lesion, spacing)
        angles = rng.uniform(-config.rotation, config.rotation, 3)
        words.append("turn:" + ":".join(f"{angle:.2f}" for angle in angles))
        new = turned(new, angles, first_lesion, spacing)
        factor = float(rng.uniform(*config.scale)) ** label.ndim
        words.append(f"{'grow' if factor > 1 else 'shrink'}:{factor:.2f}")
        return Change(resized(new, factor, first_lesion=first_lesion), ",".join(words))

    return until_a_lesion_is_left(draw)


class VolumeChanger:
    """Draws new labels of random training patients; it holds one patient's label at a time.

    Args:
        read: from a patient's number to the label uint8 [D,H,W], normal organ among its classes.
        patients: numbers of those with a lesion.
        places: where the volume of each number lies.
        order: the classes as `data.manipulation` counts them: background, organ, lesion; others are
            outside of the organ and stay as they are.
        spacing: depth, height and width of a voxel, mm.
        config: the amounts.

    Raises UserError without a patient.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        patients: Sequence[int],
        places: Sequence[Place],
        order: Sequence[int],
        spacing: Sequence[float],
        config: ReshapedConfig,
    ):
        if not len(patients):
            raise UserError(
                "No training patient has a lesion, but new labels are made from lesions; check the "
                "data and its label scheme"
            )
        self.read, self.patients, self.places = read, patients, places
        self.spacing, self.config = spacing, config
        self._classes = np.array(order, np.uint8)
        self._ranks = np.zeros(256, np.uint8)
        self._ranks[self._classes] = range(len(order))

    def draw(self, rng: np.random.Generator) -> ChangedLabel:
        """Returns the label of a patient, with the classes of `read`.

        A patient of whose lesion nothing is left is drawn again.

        Raises UserError if nothing was left of any.
        """
        for tries in range(MOST_TRIES):
            patient = int(rng.choice(self.patients))
            label = self.read(patient)
            try:
                change = reshaped(self._ranks[label], self.config, self.spacing, rng)
            except UserError:
                continue
            label = np.where(change.label > 0, self._classes[change.label], label)
            return ChangedLabel(label, 0, patient, -1, change.words, tries, self.places[patient])
        raise nothing_fits("give smaller changes with --dataset, or check the labels")

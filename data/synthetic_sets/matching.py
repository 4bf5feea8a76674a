"""Labels for random maps: real ones that fit, boxes that fit, each class in turn, or none."""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from data.boxes import painted
from data.structure_maps.labels import augment_label, fits_inside
from data.synthetic_sets.building import SyntheticConfig
from data.synthetic_sets.drafts import Draft
from utils.errors import UserError
from utils.seeding import derive_seed

LABEL_CHUNK = 10
MAP_ROUNDS = 100  # accepted maps of a sample without a fitting label before the build gives up


class FittingLabels:
    """Draws real lesion labels that lie inside a random map's organ (Algorithm 4 of the thesis).

    Args:
        labels: uint8 [L,H,W,1], each with a lesion.
        config: number of tries, augmentation.
        seed: of the data set.
    """

    def __init__(self, labels: np.ndarray, config: SyntheticConfig, seed: int):
        self.labels = labels
        self.config = config
        self.seed = seed

    def match(self, draft: Draft) -> bool:
        """Gives a draft a label that fits its map; without one its map is dropped.

        Raises UserError if `MAP_ROUNDS` maps of the draft have been dropped.
        """
        label, draft.label_source = self.draw(draft)
        if draft.label_source >= 0:
            draft.label = label
            return True
        drop_map(draft)
        return False

    def arrays(self, draft: Draft, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Returns `label` uint8 [H,W]."""
        return {"label": draft.label[..., 0]}

    def draw(self, draft: Draft) -> tuple[np.ndarray, int]:
        """Returns (label uint8 [H,W,1], number of its source); source -1 if none fits."""
        key = derive_seed(self.seed, "label", draft.number, draft.attempt)
        for first in range(0, self.config.label_tries, LABEL_CHUNK):
            rng = np.random.default_rng([key, first])
            sources = rng.integers(len(self.labels), size=LABEL_CHUNK)
            label, index = _first_fitting(
                self.labels[sources].astype(np.int32),
                draft.best.outside,
                np.int32([key, first]),
                np.int32(self.config.label_tries - first),
                self.config.augment_labels,
            )
            if index >= 0:
                return label.numpy().astype(np.uint8), int(sources[index])
        return np.zeros_like(self.labels[0]), -1


@tf.function(autograph=False)
def _first_fitting(
    labels: tf.Tensor, outside: tf.Tensor, seed: tf.Tensor, tries: tf.Tensor, augment: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first usable label of int32 labels [K,H,W,1] and its index; -1 if none is usable.

    Later labels are not augmented, because augmentation takes longer than all other steps.
    """
    seeds = tf.random.split(seed, LABEL_CHUNK)

    def try_next(index, *_):
        label = labels[index + 1]
        label = augment_label(label, seeds[index + 1]) if augment else label
        usable = tf.reduce_any(label > 0) & fits_inside(label, outside)
        return index + 1, usable, tf.ensure_shape(label, labels.shape[1:])

    index, found, label = tf.while_loop(
        lambda index, found, _: ~found & (index + 1 < tf.minimum(tries, LABEL_CHUNK)),
        try_next,
        (-1, False, tf.zeros_like(labels[0])),
    )
    return label, tf.where(found, index, -1)


def drop_map(draft: Draft) -> None:
    """Takes the map of a draft that no label fits; a new one is drawn.

    Raises UserError if `MAP_ROUNDS` maps of the draft have been dropped.
    """
    draft.rejected["no fitting label"] += 1
    if draft.rejected["no fitting label"] >= MAP_ROUNDS:
        raise UserError(
            f"No lesion label fits inside any of {MAP_ROUNDS} random maps of synthetic sample "
            f"{draft.number}; the masks are too small, train the stage structure longer"
        )
    draft.best, draft.since_label = Draft.best, 0


# From a random generator and a mask [H,W,K] to boxes [M,5], None if there is no place for any, and
# the number of their source.
PlaceBoxes = Callable[[np.random.Generator, np.ndarray], tuple[Optional[np.ndarray], int]]


class PlacedBoxes:
    """Gives each sample boxes that fit its map.

    Args:
        place: finds them.
        seed: of the data set.
    """

    def __init__(self, place: PlaceBoxes, seed: int):
        self.place = place
        self.seed = seed

    def match(self, draft: Draft) -> bool:
        """Gives a draft boxes float32 [M,5]; without any its map is dropped.

        Raises UserError if `MAP_ROUNDS` maps of the draft have been dropped.
        """
        rng = np.random.default_rng(derive_seed(self.seed, "label", draft.number, draft.attempt))
        draft.label, draft.label_source = self.place(rng, draft.best.outside)
        if draft.label is None:
            drop_map(draft)
        return draft.label is not None

    def arrays(self, draft: Draft, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Returns `boxes` float32 [M,5], and `label` uint8 [H,W], what lies at each pixel."""
        label = painted(tf.constant(draft.label), size).numpy()[..., 0]
        return {"boxes": draft.label, "label": label.astype(np.uint8)}


class EveryClass:
    """Gives each sample one class of the whole image, all classes in turn.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int):
        self.classes = classes

    def match(self, draft: Draft) -> bool:
        """Gives a draft the class number % classes, as constant label uint8 [H,W,1]."""
        shape = (*draft.best.structure.shape[:2], 1)
        draft.label = np.full(shape, draft.number % self.classes, np.uint8)
        return True

    def arrays(self, draft: Draft, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Returns `label` uint8 [H,W], the class at every pixel."""
        return {"label": draft.label[..., 0]}


class NoLabels:
    """Gives no sample a label."""

    def match(self, draft: Draft) -> bool:
        """Leaves the draft as it is."""
        return True

    def arrays(self, draft: Draft, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Returns nothing."""
        return {}

"""System "detection": the detector G_l that guides lung CT slices (thesis 4.5, eq. 15, 22)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import tensorflow as tf

from losses.detection import decode, from_corners, multibox_loss, to_corners
from models.networks.settings import WIDTH, Decay, learning_rate
from models.networks.ssd import (
    MOST_FINE_LEVELS,
    SSDSpec,
    build_ssd,
    check_image_size,
    default_boxes,
)
from models.system import Batch, GANSystem, Terms
from utils.errors import NOT_NEGATIVE, POSITIVE, Rule, at_least, between, check_fields, one_of

# Of the detections: the paper's settings (Liu et al. 2016, 3.1 and 4).
LOWEST_SCORE, SUPPRESSED_IOU, MOST_DETECTIONS = 0.01, 0.45, 200

_FOUR = Rule(
    "four numbers above 0, for cx, cy, w and h",
    lambda values: len(values) == 4 and all(0 < value < math.inf for value in values),
)


@dataclass(frozen=True)
class DetectionConfig:
    """Detector G_l of lesions, an SSD.

    Args:
        width: base width n, channels.
        fine_levels: levels of twice the resolution each that come first, in place of as many last
            ones: 0 for slices of 512 pixels, 1 for 256, 2 for 128.
        variances: divisors of the offsets of cx, cy, w and h; the thesis' text has four ones.
        negatives: hard negatives for every positive in the class part; the paper has 3. Many of
            them make a detector of few, small lesions learn in fewer updates, and its scores lower.
        box_weight: of the box part beside the class part of the loss.
        most_gradient: norm to which longer gradients are shortened.
        learning_rate: Adam's, per update.
        decay: of the learning rate: constant, or cosine, which ends at 0.
    """

    width: int = 64
    fine_levels: int = 0
    variances: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    negatives: int = 3
    box_weight: float = 1.0
    most_gradient: float = 10.0
    learning_rate: float = 1e-5
    decay: Decay = "constant"

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--detection.",
            width=WIDTH,
            fine_levels=between(0, MOST_FINE_LEVELS),
            negatives=at_least(1),
            variances=_FOUR,
            box_weight=NOT_NEGATIVE,
            most_gradient=POSITIVE,
            learning_rate=POSITIVE,
            decay=one_of(get_args(Decay)),
        )

    def check_image_size(self, size: Sequence[int]) -> None:
        """Raises UserError for images of a size (height, width) that the network cannot take."""
        check_image_size("An image of --slicing.size", size, self.fine_levels)


class Detection(GANSystem):
    """G_l learns the boxes of lesions, and then tells a generator whether its lesions are there.

    The rows (class, cx, cy, w, h) of `boxes` [B,N,5] are as in `losses.detection`.

    Args:
        config: settings.
        channels: of the images, C.
        classes: number of classes, K, the background (0) included.
        total_steps: updates in all, for the decay of the learning rate.
    """

    def __init__(self, config: DetectionConfig, channels: int, classes: int, total_steps: int):
        self.config = config
        spec = SSDSpec(config.width, classes, config.fine_levels)
        networks = {"G_l": build_ssd(spec, channels, "G_l")}
        rate = learning_rate(config.learning_rate, config.decay, total_steps)
        super().__init__(networks, {"G": ["G_l"]}, {"G": rate})
        self.optimizers["G"].global_clipnorm = config.most_gradient

    def train_step(self, batch: Batch) -> Terms:
        """One update on `images` [B,H,W,C] and `boxes` [B,N,5].

        The gradient's norm is reported as it was before it was shortened.
        """
        with tf.GradientTape() as tape:
            classes, boxes = self._parts(batch["images"], batch["boxes"], training=True)
            loss = classes + boxes
        return {**self.descend(tape, {"G": loss}), "G/classes": classes, "G/boxes": boxes}

    def guidance(self, images: tf.Tensor, labels: Mapping[str, tf.Tensor]) -> Terms:
        """Returns the multi-box loss of generated images [B,H,W,C], `G/lesion` (eq. 15).

        G_l is at rest: it uses its moving statistics and changes nothing. Reads `labels["boxes"]`,
        the lesions that the images were made for.
        """
        return {"G/lesion": tf.add_n(self._parts(images, labels["boxes"], training=False))}

    def _parts(self, images: tf.Tensor, truths: tf.Tensor, training: bool) -> Sequence[tf.Tensor]:
        """The class part and the weighted box part of the loss."""
        found = self.networks["G_l"](images, training=training)
        classes, boxes = multibox_loss(
            *found,
            truths,
            self._default_boxes(images),
            self.config.variances,
            self.config.negatives,
        )
        return classes, self.config.box_weight * boxes

    def _default_boxes(self, images: tf.Tensor) -> tf.Tensor:
        return tf.constant(default_boxes(tuple(images.shape[1:3]), self.config.fine_levels))

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns the detections in `images` [B,H,W,C], highest scores first.

        `boxes` [B,200,4] (cx, cy, w, h) within [0,1], `scores` [B,200] in [0,1], float32, and
        `classes` [B,200], int32 from 1 on. Rows behind an image's last detection are 0.
        """
        logits, offsets = self.networks["G_l"](batch["images"], training=False)
        boxes = decode(offsets, self._default_boxes(batch["images"]), self.config.variances)
        found = tf.image.combined_non_max_suppression(
            to_corners(boxes)[:, :, None],
            tf.nn.softmax(logits)[..., 1:],
            max_output_size_per_class=MOST_DETECTIONS,
            max_total_size=MOST_DETECTIONS,
            iou_threshold=SUPPRESSED_IOU,
            score_threshold=LOWEST_SCORE,
        )
        present = tf.sequence_mask(found.valid_detections, MOST_DETECTIONS)
        classes = tf.where(present, tf.cast(found.nmsed_classes, tf.int32) + 1, 0)
        boxes = from_corners(found.nmsed_boxes)
        return {"boxes": boxes, "scores": found.nmsed_scores, "classes": classes}

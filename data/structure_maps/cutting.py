"""How structure maps are cut from the slices of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Optional

import tensorflow as tf

from data.contract import BOXES, IMAGE, DataSet
from data.structure_maps.extraction import (
    VARIANTS,
    StructureMapConstants,
    structure_and_outside,
    structure_constants,
)
from utils.errors import Rule, check_fields, one_of
from utils.seeding import fold_in

EACH = "each"
BOX_MARGIN = 2  # pixels around a boxed lesion whose lines are erased with it


@dataclass(frozen=True)
class MapConfig:
    """How structure maps and masks are cut from real slices.

    Args:
        modality: channel by its name, such as T1, or random (drawn anew for every example); each
            where every channel has a map of its own.
        remove_tumour: erase the lines under the lesion label, where it says where the lesion is;
            those under boxed lesions with two pixels around them.
        variant: code, thesis, paper or paper_image_stage (data.structure_maps.extraction.VARIANTS).
        edge_threshold: replaces the variant's alpha.
        structure_median: replaces the variant's k_s, odd window, pixels.
        mask_threshold: replaces the variant's gamma, grey value.
        mask_zoom: replaces the variant's p, pixels.
        mask_median: replaces the variant's k_m, odd window, pixels.
    """

    modality: str = "random"
    remove_tumour: bool = True
    variant: str = "code"
    edge_threshold: Optional[float] = None
    structure_median: Optional[int] = None
    mask_threshold: Optional[float] = None
    mask_zoom: Optional[int] = None
    mask_median: Optional[int] = None

    def __post_init__(self) -> None:
        odd = Rule("an odd number", lambda v: v is None or (v > 0 and v % 2 == 1))
        threshold = Rule("0 or more and less than 1", lambda v: v is None or 0 <= v < 1)
        check_fields(
            self,
            "--maps.",
            variant=one_of(VARIANTS),
            edge_threshold=threshold,
            mask_threshold=threshold,
            structure_median=odd,
            mask_median=odd,
            mask_zoom=Rule("0 or more", lambda v: v is None or v >= 0),
        )

    def check(self, dataset: DataSet) -> None:
        """Raises UserError if a data set's images have no such channel, or are not slices."""
        known = ("random", *dataset.channels) if dataset.map_channels == 1 else (EACH,)
        check_fields(self, "--maps.", modality=one_of(known))
        dataset.check_slices("Structure maps are cut")

    def constants(self, dataset: DataSet) -> StructureMapConstants:
        """Returns a data set's constants of Algorithms 1 and 2 with the changes asked for."""
        own = {field.name for field in fields(self)} & {
            field.name for field in fields(StructureMapConstants)
        }
        changes = {name: getattr(self, name) for name in own if getattr(self, name) is not None}
        return replace(structure_constants(dataset.map_constants, self.variant), **changes)


def middle_map(maps: Any) -> Any:
    """Returns maps or masks [...,K] as [...], of several that of the slice itself."""
    return maps[..., maps.shape[-1] // 2]


def cut_maps(
    example: Mapping[str, tf.Tensor], maps: MapConfig, dataset: DataSet
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns structure maps and masks of one slice, float32 [H,W,K], 0/1.

    Args:
        example: images [H,W,M], seed [2], and label [H,W,1] where the data set has one.
        maps: how they are cut.
        dataset: what the slice is of.
    """
    images, label = example["images"], None
    if maps.remove_tumour and dataset.has_label and dataset.label_kind != IMAGE:
        label = _grown(example["label"]) if dataset.label_kind == BOXES else example["label"]
    if maps.modality == EACH:
        rows = tf.transpose(images, [2, 0, 1])[..., None]  # [K,H,W,1]
        cut = structure_and_outside(rows, label, maps.constants(dataset))
        return tuple(tf.transpose(part[..., 0], [1, 2, 0]) for part in cut)
    if maps.modality == "random":
        draw_seed = fold_in(example["seed"], "modality")
        index = tf.random.stateless_uniform([], draw_seed, 0, len(dataset.channels), tf.int32)
        image = tf.gather(images, [index], axis=-1)
    else:
        index = dataset.channels.index(maps.modality)
        image = images[..., index : index + 1]
    label = None if label is None else label[None]
    structure, outside = structure_and_outside(image[None], label, maps.constants(dataset))
    return structure[0], outside[0]


def _grown(label: tf.Tensor) -> tf.Tensor:
    """Returns a painted label [H,W,1] with a margin: a boxed lesion's outline lies on its rim."""
    window = 2 * BOX_MARGIN + 1
    grown = tf.nn.max_pool2d(tf.cast(label, tf.float32)[None], window, 1, "SAME")
    return tf.cast(grown[0], label.dtype)

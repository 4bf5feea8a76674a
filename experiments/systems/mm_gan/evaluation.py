"""Stage "evaluate" of MM-GAN: volumes of held-out labels beside the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import numpy as np
import tensorflow as tf
from skimage.metrics import structural_similarity

from data.contract import DataSet
from data.slice_sets import Slices, real_slices
from experiments.engine.run import Run
from models.mm_gan_3d.gan import with_organ
from utils.inference import compiled, infer
from utils.metrics.segmentation import dice
from utils.metrics.volumes import slice_steps

WINDOW = 7  # voxels of the SSIM's cube
AXES = ("depth", "height", "width")


def gan(modality: str) -> str:
    """Returns the name of the stage that trains a modality's G."""
    return f"gan_{modality}"


def segmenter(modality: str) -> str:
    """Returns the name of the stage that trains a modality's segmenter S."""
    return f"regions_{modality}"


def held_out_volumes(run: Run) -> Iterator[tuple[Slices, np.ndarray]]:
    """Yields each held-out patient and its synthetic volumes [1,D,H,W,K], K = run's modalities."""
    made = [compiled(run.trained(gan(modality)).synthesize) for modality in run.config.made]
    for subject in run.split.test:
        real = real_slices(run.prepared, [subject])
        batch = {"images": real.images, "label": real.label[..., None]}
        volumes = [infer(synthesize, batch, 1)["images"] for synthesize in made]
        yield real, np.concatenate(volumes, axis=-1)


def label_with_organ(real: Slices, organ: int) -> np.ndarray:
    """Returns a patient's label [D,H,W], uint8, with the organ as a class, as generators see it.

    Of the first modality, as in the paper: T1 shows the whole brain.
    """
    label, volume = tf.constant(real.label), tf.constant(real.images[..., 0])
    return with_organ(label, volume, organ).numpy()[0].astype(np.uint8)


def evaluate(run: Run) -> None:
    """Adds what compares synthetic volumes to metrics.json, as means over held-out patients.

    Keys are `volumes/<modality>/ssim`, and of the kinds real and synthetic
    `volumes/<kind>/<modality>/step_<axis>`, the mean absolute difference of neighbouring slices
    where the real volume is above 0, and `.../dice_<region>`, of what the modality's S finds;
    patients in whom it neither is nor is found do not count.
    """
    scores = {}
    finders = [compiled(run.trained(segmenter(name)).synthesize) for name in run.config.made]
    for real, made in held_out_volumes(run):
        for k, (modality, find) in enumerate(zip(run.config.made, finders)):
            for key, value in _compared(run, real, made[..., k], modality, find).items():
                scores.setdefault(key, []).append(value)
    with_value = {key: [v for v in values if not np.isnan(v)] for key, values in scores.items()}
    run.update_metrics({key: float(np.mean(v)) for key, v in with_value.items() if v})


def _compared(
    run: Run, real: Slices, made: np.ndarray, modality: str, find: Callable
) -> dict[str, float]:
    """Returns the scores of one patient's volume of a modality, made [1,D,H,W]."""
    dataset = run.prepared.dataset
    channel = dataset.channels.index(modality)
    pair = real.images[0, ..., channel], made[0]
    scores = {f"volumes/{modality}/ssim": volume_ssim(*pair)}
    for kind, volume in zip(("real", "synthetic"), pair):
        key = f"volumes/{kind}/{modality}"
        for axis, step in zip(AXES, slice_steps(volume, pair[0] > 0)):
            scores[f"{key}/step_{axis}"] = step
        found = regions_in(volume, find, dataset)
        for number, (region, classes) in enumerate(dataset.regions.items()):
            overlap = dice(found[..., number], np.isin(real.label, classes))
            scores[f"{key}/dice_{region}"] = float(overlap[0])
    return scores


def regions_in(volume: np.ndarray, find: Callable, dataset: DataSet) -> np.ndarray:
    """Returns the regions [1,D,H,W,R], 0 or 1, that a modality's S finds in its volume [D,H,W]."""
    # S reads its channel alone.
    images = np.repeat(volume[None, ..., None], len(dataset.channels), axis=-1)
    return infer(find, {"images": images}, 1)["regions"]


def volume_ssim(volume: np.ndarray, reference: np.ndarray) -> float:
    """Returns the SSIM of two volumes [D,H,W] in [0,1] by scikit-image, a cube of `WINDOW` voxels.

    The mean is over the whole volume, as published values are; the background counts.
    """
    return float(structural_similarity(volume, reference, win_size=WINDOW, data_range=1.0))

"""Stage "evaluate" of MM-GAN: volumes of held-out labels beside the real ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from skimage.metrics import structural_similarity

from data.slice_sets import Slices, real_slices
from experiments.engine.run import Run
from utils.inference import compiled, infer

WINDOW = 7  # voxels of the SSIM's cube
AXES = ("depth", "height", "width")


def gan(modality: str) -> str:
    """Returns the name of the stage that trains a modality's G."""
    return f"gan_{modality}"


def held_out_volumes(run: Run) -> Iterator[tuple[Slices, np.ndarray]]:
    """Yields each held-out patient and its synthetic volumes [1,D,H,W,K], K = run's modalities."""
    made = [compiled(run.trained(gan(modality)).synthesize) for modality in run.config.made]
    for subject in run.split.test:
        real = real_slices(run.prepared, [subject])
        batch = {"images": real.images, "label": real.label[..., None]}
        volumes = [infer(synthesize, batch, 1)["images"] for synthesize in made]
        yield real, np.concatenate(volumes, axis=-1)


def evaluate(run: Run) -> None:
    """Adds SSIM and the steps between slices to metrics.json, as means over held-out patients.

    Keys are `volumes/<modality>/ssim`, and `volumes/<kind>/<modality>/step_<axis>` with the kinds
    real and synthetic: the mean absolute difference of neighbouring slices inside the brain.
    """
    channels, scores = run.prepared.dataset.channels, {}
    for real, made in held_out_volumes(run):
        for k, modality in enumerate(run.config.made):
            pair = real.images[0, ..., channels.index(modality)], made[0, ..., k]
            found = {f"volumes/{modality}/ssim": volume_ssim(*pair)}
            for kind, volume in zip(("real", "synthetic"), pair):
                for axis, step in zip(AXES, slice_steps(volume, pair[0] > 0)):
                    found[f"volumes/{kind}/{modality}/step_{axis}"] = step
            for key, value in found.items():
                scores.setdefault(key, []).append(value)
    run.update_metrics({key: float(np.mean(values)) for key, values in scores.items()})


def volume_ssim(volume: np.ndarray, reference: np.ndarray) -> float:
    """Returns the SSIM of two volumes [D,H,W] in [0,1] by scikit-image, a cube of `WINDOW` voxels.

    The mean is over the whole volume, as published values are; the background counts.
    """
    return float(structural_similarity(volume, reference, win_size=WINDOW, data_range=1.0))


def slice_steps(volume: np.ndarray, inside: np.ndarray) -> list[float]:
    """Returns the mean absolute difference of neighbouring slices along each axis.

    Args:
        volume: [D,H,W].
        inside: bool [D,H,W]; pairs of voxels that both lie in it count.
    """
    steps = []
    for axis in range(3):
        first, second = (
            np.take(inside, range(k, inside.shape[axis] - 1 + k), axis) for k in (0, 1)
        )
        steps.append(float(np.abs(np.diff(volume, axis=axis))[first & second].mean()))
    return steps

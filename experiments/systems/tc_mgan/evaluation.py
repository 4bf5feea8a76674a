"""Stage "evaluate" of TC-MGAN: PSNR, SSIM and lesion contrast on held-out patients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data.brats.names import LABEL_NAMES
from data.pipeline import evaluation_batches
from data.slice_sets import Slices, real_slices
from experiments.engine.run import Run
from models.tc_mgan.modalities import SOURCE_CHANNEL, TARGET_CHANNELS, TARGETS
from utils.inference import compiled, infer
from utils.metrics.images import psnr, uniform_ssim

ENHANCING = LABEL_NAMES.index("enhancing")
SSIM_RANGES = {"ssim": 1.0, "ssim_range2": 2.0}  # the second is probably the paper's


class Measures(NamedTuple):
    """Measurements of some slices that are kept when their images are released.

    Attributes:
        quality: by metric, float64 [N,3] per slice and target, see `quality_figures`.
        pixels: int64 [2], number of pixels of enhancing tumour and of healthy brain in all slices.
        sums: by kind, real or translated, float64 [3,2]: each target's sum over those pixels.
    """

    quality: dict[str, np.ndarray]
    pixels: np.ndarray
    sums: dict[str, np.ndarray]


def translate_subjects(run: Run, subjects: Iterable[str]) -> Iterator[tuple[Slices, np.ndarray]]:
    """Yields all slices of one subject at a time, and their translations [N,H,W,3] by G.

    The translations are in [0,1], order `TARGETS`.
    """
    synthesize = compiled(run.trained("gan").synthesize)
    for subject in subjects:
        real = real_slices(run.prepared, (subject,))
        batch = {"images": real.images, "label": real.label[..., None]}
        yield real, infer(synthesize, batch, run.config.batch_size)["images"]


def lesion_slices(run: Run, count: int) -> dict[str, tf.Tensor]:
    """Returns a batch of up to `count` held-out slices with enhancing tumour.

    They are evenly spread over all such slices; if there are none, over all held-out slices. Keys:
    `images` [N,H,W,4], `label` [N,H,W,1] and `source` [N,2].
    """
    batches = evaluation_batches(run.prepared, run.split.test, run.config.batch_size)
    found = [(batch["label"].numpy() == ENHANCING).any(axis=(1, 2, 3)) for batch in batches]
    wanted = set(evenly_spread(np.concatenate(found), count).tolist())
    slices = [piece for number, piece in enumerate(batches.unbatch()) if number in wanted]
    return {key: tf.stack([piece[key] for piece in slices]) for key in slices[0]}


def evenly_spread(found: np.ndarray, count: int) -> np.ndarray:
    """Returns int64 [K]: up to `count` indices where `found` [N] is true; of all if none is."""
    wanted = np.flatnonzero(found) if found.any() else np.arange(len(found))
    return wanted[np.linspace(0, len(wanted) - 1, min(count, len(wanted))).astype(int)]


def evaluate_translation(run: Run) -> None:
    """Adds the metrics translation/... and contrast/... to metrics.json."""
    # Patient by patient: all slices of the paper's 85 take gigabytes.
    measures = [measure(*pair) for pair in translate_subjects(run, run.split.test)]
    run.update_metrics({**contrast_figures(measures), **quality_figures(measures)})


def measure(slices: Slices, translated: np.ndarray) -> Measures:
    """Returns what `quality_figures` and `contrast_figures` need of slices and translations.

    The healthy brain is where T2 is not 0 and the label is.
    """
    pair = {"real": slices.images[..., TARGET_CHANNELS], "translated": translated}
    quality = {"psnr": psnr(pair["translated"], pair["real"])}
    for name, data_range in SSIM_RANGES.items():
        quality[name] = uniform_ssim(pair["translated"], pair["real"], data_range)
    healthy = (slices.label == 0) & (slices.images[..., SOURCE_CHANNEL] > 0)
    regions = slices.label == ENHANCING, healthy
    pixels = np.array([np.count_nonzero(region) for region in regions])
    sums = {
        kind: np.stack([images[region].sum(axis=0, dtype=np.float64) for region in regions], axis=1)
        for kind, images in pair.items()
    }
    return Measures(quality, pixels, sums)


def quality_figures(measures: Sequence[Measures]) -> dict[str, float]:
    """Returns PSNR in dB and SSIM per target, and the means over targets.

    Both are higher for better translations, per slice on the full frame with its background. Keys
    are `translation/<modality>/<metric>` with the metrics psnr, ssim (data range 1), ssim_range2,
    each also with `_std` for the standard deviation over slices.
    """
    scores = {
        figure: np.concatenate([part.quality[figure] for part in measures])  # [N,3]
        for figure in ("psnr", *SSIM_RANGES)
    }
    figures = {"translation/slices": float(len(scores["psnr"]))}
    for figure, values in scores.items():
        for i, name in enumerate(TARGETS):
            figures[f"translation/{name}/{figure}"] = float(values[:, i].mean())
            figures[f"translation/{name}/{figure}_std"] = float(values[:, i].std())
        figures[f"translation/{figure}"] = float(values.mean())
    return figures


def contrast_figures(measures: Sequence[Measures]) -> dict[str, float]:
    """Returns how bright the enhancing tumour is: its mean divided by that of the healthy brain.

    Keys are `contrast/<real or translated>/<modality>/enhancing`; 1 is no contrast. Nothing is
    returned without such a tumour.
    """
    pixels = sum(part.pixels for part in measures)
    if not pixels[0]:
        return {}
    figures = {}
    for kind in ("real", "translated"):
        means = sum(part.sums[kind] for part in measures) / pixels
        for name, (enhancing, healthy) in zip(TARGETS, means):
            figures[f"contrast/{kind}/{name}/enhancing"] = float(enhancing / healthy)
    return figures

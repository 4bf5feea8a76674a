"""Stage "evaluate" of TC-MGAN: PSNR, SSIM and lesion contrast on held-out patients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data.brats.names import LABEL_NAMES
from data.pipeline import evaluation_batches
from experiments.systems.tc_mgan.context import TranslationContext
from models.tc_mgan.modalities import SOURCE_CHANNEL, TARGET_CHANNELS, TARGETS
from utils.metrics.images import psnr, uniform_ssim

ENHANCING = LABEL_NAMES.index("enhancing")
SSIM_RANGES = {"ssim": 1.0, "ssim_range2": 2.0}  # the second is probably the paper's


class Translations(NamedTuple):
    """Slices of some patients with their translations.

    Attributes:
        real: [N,H,W,4] in [0,1], order `data.brats.names.MODALITIES`.
        translated: [N,H,W,3] in [0,1], order `TARGETS`.
        label: [N,H,W], 0..4.
        source: [N,2], subject index and axial slice.
    """

    real: np.ndarray
    translated: np.ndarray
    label: np.ndarray
    source: np.ndarray


class Measures(NamedTuple):
    """What is kept of some slices when their images are gone.

    Attributes:
        quality: by figure float64 [N,3] per slice and target, see `quality_figures`.
        pixels: int64 [2], of enhancing tumour and of healthy brain in all slices together.
        sums: by kind, real or translated, float64 [3,2]: each target's sum over those pixels.
    """

    quality: dict[str, np.ndarray]
    pixels: np.ndarray
    sums: dict[str, np.ndarray]


def translate_subjects(
    context: TranslationContext, subjects: Iterable[str]
) -> Iterator[Translations]:
    """Yields every prepared slice of one subject at a time, translated by the trained generator."""
    synthesize = tf.function(
        context.trained("gan").synthesize, autograph=False, reduce_retracing=True
    )
    for subject in subjects:
        batches = list(evaluation_batches(context.prepared, (subject,), context.config.batch_size))
        translated = np.concatenate([synthesize(batch)["images"].numpy() for batch in batches])
        real, label, source = (
            np.concatenate([batch[key].numpy() for batch in batches])
            for key in ("images", "label", "source")
        )
        yield Translations(real, translated, label[..., 0], source)


def lesion_slices(context: TranslationContext, count: int) -> dict[str, tf.Tensor]:
    """Returns up to `count` held-out slices as a batch: with enhancing tumour, if any.

    They are evenly spread. Keys are `images` [N,H,W,4], `label` [N,H,W,1] and `source` [N,2].
    """
    batches = evaluation_batches(context.prepared, context.split.test, context.config.batch_size)
    found = [(batch["label"].numpy() == ENHANCING).any(axis=(1, 2, 3)) for batch in batches]
    wanted = set(evenly_spread(np.concatenate(found), count).tolist())
    slices = [piece for number, piece in enumerate(batches.unbatch()) if number in wanted]
    return {key: tf.stack([piece[key] for piece in slices]) for key in slices[0]}


def evenly_spread(found: np.ndarray, count: int) -> np.ndarray:
    """Returns int64 [K]: up to `count` numbers of those `found` [N] holds for, of all if none."""
    wanted = np.flatnonzero(found) if found.any() else np.arange(len(found))
    return wanted[np.linspace(0, len(wanted) - 1, min(count, len(wanted))).astype(int)]


def evaluate_translation(context: TranslationContext) -> None:
    """Adds translation/ and contrast/ figures to metrics.json, once."""
    if context.finished("evaluate"):
        return
    # Patient by patient: all slices of the paper's 85 take gigabytes.
    measures = [measure(slices) for slices in translate_subjects(context, context.split.test)]
    context.run.update_metrics({**contrast_figures(measures), **quality_figures(measures)})


def measure(slices: Translations) -> Measures:
    """Returns what `quality_figures` and `contrast_figures` need of some slices.

    The healthy brain is where T2 is not 0 and the label is.
    """
    pair = {"real": slices.real[..., TARGET_CHANNELS], "translated": slices.translated}
    quality = {"psnr": psnr(pair["translated"], pair["real"])}
    for name, data_range in SSIM_RANGES.items():
        quality[name] = uniform_ssim(pair["translated"], pair["real"], data_range)
    healthy = (slices.label == 0) & (slices.real[..., SOURCE_CHANNEL] > 0)
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
    are `translation/<modality>/<figure>` with the figures psnr, ssim (data range 1), ssim_range2,
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
    """Returns how bright the enhancing tumour is: its mean over the mean of the healthy brain.

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

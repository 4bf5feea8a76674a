"""Stage "evaluate" of TC-MGAN: PSNR, SSIM and lesion contrast on held-out patients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data.contract import LABEL_NAMES
from data.pipeline import evaluation_batches
from experiments.tc_mgan.context import TranslationContext
from models.tc_mgan.modalities import SOURCE_CHANNEL, TARGET_CHANNELS, TARGETS
from utils.metrics.images import psnr, uniform_ssim

ENHANCING = LABEL_NAMES.index("enhancing")
SSIM_RANGES = {"ssim": 1.0, "ssim_range2": 2.0}  # the second is probably the paper's


class Translations(NamedTuple):
    """Slices of some patients with their translations.

    Attributes:
        real: [N,H,W,4] in [0,1], order `data.contract.MODALITIES`.
        translated: [N,H,W,3] in [0,1], order `TARGETS`.
        label: [N,H,W], 0..4.
        source: [N,2], subject index and axial slice.
    """

    real: np.ndarray
    translated: np.ndarray
    label: np.ndarray
    source: np.ndarray


def translate_subjects(context: TranslationContext, subjects: tuple[str, ...]) -> Translations:
    """Returns every prepared slice of some subjects, translated by the trained generator."""
    synthesize = tf.function(
        context.trained("gan").synthesize, autograph=False, reduce_retracing=True
    )
    batches = list(evaluation_batches(context.prepared, subjects, context.config.batch_size))
    translated = np.concatenate([synthesize(batch)["images"].numpy() for batch in batches])
    real, label, source = (
        np.concatenate([batch[key].numpy() for batch in batches])
        for key in ("images", "label", "source")
    )
    return Translations(real, translated, label[..., 0], source)


def lesion_slices(slices: Translations, count: int) -> np.ndarray:
    """Returns the numbers of up to `count` slices with enhancing tumour, if any, evenly spread."""
    wanted = np.flatnonzero((slices.label == ENHANCING).any(axis=(1, 2)))
    wanted = wanted if len(wanted) else np.arange(len(slices.label))
    return wanted[np.linspace(0, len(wanted) - 1, min(count, len(wanted))).astype(int)]


def evaluate_translation(context: TranslationContext) -> None:
    """Adds translation/ and contrast/ figures to metrics.json, once."""
    if context.finished("evaluate"):
        return
    slices = translate_subjects(context, context.split.test)
    context.run.update_metrics({**contrast_figures(slices), **quality_figures(slices)})


def quality_figures(slices: Translations) -> dict[str, float]:
    """Returns PSNR in dB and SSIM per target, and the means over targets.

    Both are higher for better translations, per slice on the full frame with its background. Keys
    are `translation/<modality>/<figure>` with the figures psnr, ssim (data range 1), ssim_range2,
    each also with `_std` for the standard deviation over slices.
    """
    real = slices.real[..., TARGET_CHANNELS]
    scores = {"psnr": psnr(slices.translated, real)}  # [N,3]
    for name, data_range in SSIM_RANGES.items():
        scores[name] = uniform_ssim(slices.translated, real, data_range)
    figures = {"translation/slices": float(len(real))}
    for figure, values in scores.items():
        for i, name in enumerate(TARGETS):
            figures[f"translation/{name}/{figure}"] = float(values[:, i].mean())
            figures[f"translation/{name}/{figure}_std"] = float(values[:, i].std())
        figures[f"translation/{figure}"] = float(values.mean())
    return figures


def contrast_figures(slices: Translations) -> dict[str, float]:
    """Returns how bright the enhancing tumour is: its mean over the mean of the healthy brain.

    Keys are `contrast/<real or translated>/<modality>/enhancing`; 1 is no contrast. The brain is
    where T2 is not 0. Nothing is returned without such a tumour.
    """
    enhancing = slices.label == ENHANCING
    if not enhancing.any():
        return {}
    healthy = (slices.label == 0) & (slices.real[..., SOURCE_CHANNEL] > 0)
    figures = {}
    for i, (name, channel) in enumerate(zip(TARGETS, TARGET_CHANNELS)):
        pair = {"real": slices.real[..., channel], "translated": slices.translated[..., i]}
        for kind, images in pair.items():
            ratio = images[enhancing].mean() / images[healthy].mean()
            figures[f"contrast/{kind}/{name}/enhancing"] = float(ratio)
    return figures

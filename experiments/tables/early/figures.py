"""The early paper's Figures 3 and 4: real images translated, and random ones with translations."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.brats.names import MODALITIES
from data.slice_sets import real_slices, stored_slices
from experiments.configs.early_tables import FIGURES
from experiments.engine.experiment import Experiment, Task
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.tables.figures import finish
from models.networks.modalities import TARGET, TRANSLATIONS
from utils.metrics.images import paired_ssim
from utils.reporting.pictures import grid, label_row, plain_row, write_png

HEADERS = ("real", "rebuilt", *(f"to {name}" for name in MODALITIES), "and back")


def draw_translations(run: Run) -> None:
    """Fig. 3: modalities of held-out slices, rebuilt, translated, and translated back."""
    source, config = run.source, run.config
    slices = real_slices(source.prepared, source.split.test)
    lesions = np.flatnonzero((slices.label > 0).any(axis=(1, 2)))
    pool = lesions if len(lesions) else np.arange(len(slices))
    chosen = np.sort(np.random.default_rng(config.seed).permutation(pool)[: config.examples])
    images = slices.images[chosen]
    system = source.trained("synthesis")
    rebuilt, translated, cycles = map(np.asarray, system.journeys(tf.constant(images)))
    rows, titles = [], []
    for n in range(len(chosen)):
        for i, name in enumerate(MODALITIES):
            back = cycles[n, TRANSLATIONS.index((i, (i + 1) % len(MODALITIES))), ..., 0]
            shown = images[n, ..., i], rebuilt[n, ..., i], *to_others(translated[n], i), back
            rows.append(plain_row(np.stack(shown)))
            titles.append(name)
    write_png(run.path / "figure3_early.png", grid(rows, titles=titles, headers=HEADERS))
    ssim = paired_ssim(np.moveaxis(translated[..., 0], 1, -1), images[..., list(TARGET)])
    finish(
        run,
        "Figure 3 of the early paper: reconstruction, translation, cycles",
        f"Rows are the modalities of {len(chosen)} held-out slice(s), drawn at random among those "
        "with a lesion. Columns: the real slice, its reconstruction by EC_M and DC_M, its "
        "translations, and the way back from the next modality.",
        ["The mean SSIM of all twelve translations to the real slices is in metrics.json."],
        {"ssim": float(ssim.mean()), "slices": len(chosen)},
    )


def to_others(translated: np.ndarray, source: int) -> list[np.ndarray]:
    """Returns the translations of one modality to each, black to itself: [H,W] each.

    `translated` [12,H,W,1] is ordered as `TRANSLATIONS`.
    """
    found = dict(zip(TRANSLATIONS, translated[..., 0]))
    blank = np.zeros_like(translated[0, ..., 0])
    return [found.get((source, target), blank) for target in range(len(MODALITIES))]


def draw_generation(run: Run) -> None:
    """Fig. 4: maps and labels of the set, their four images, and the twelve translations."""
    source, config = run.source, run.config
    slices = stored_slices(source.synthetic)
    chosen = np.random.default_rng(config.seed).permutation(len(slices))[: config.examples]
    slices = slices.choose(np.sort(chosen))
    system = source.trained("synthesis")
    translated = np.asarray(system.translations(tf.constant(slices.images)))
    rows, titles = [], []
    for n in range(len(slices)):
        rows.append(
            [
                *plain_row(slices.structure[n][None]),
                *label_row(slices.label[n][None]),
                *plain_row(np.moveaxis(slices.images[n], -1, 0)),
            ]
        )
        titles.append("")
        for i, name in enumerate(MODALITIES):
            blank = np.zeros_like(slices.images[n, ..., 0])
            rows.append(plain_row(np.stack([blank, blank, *to_others(translated[n], i)])))
            titles.append(f"from {name}")
    headers = ("map", "label", *MODALITIES)
    write_png(run.path / "figure4_early.png", grid(rows, titles=titles, headers=headers))
    finish(
        run,
        "Figure 4 of the early paper: generation",
        f"{len(slices)} sample(s) of the trained run's set, unfiltered: map, label and the four "
        "images, and below the translations of each image to the three other modalities.",
        ["The better the images belong together, the more a column is of one kind."],
        {"samples": len(slices)},
    )


def _figure(number: int, title: str, draw: object) -> Experiment:
    return Experiment(
        f"experiments/figure{number}_early.py",
        f"Figure {number} of the early paper: {title}.",
        FIGURES,
        stages=(Task("draw", draw),),
        key=f"figure{number}_early",
        sources=Finished(TRAIN_EARLY),
    )


FIGURE3_EARLY = _figure(3, "reconstruction, translation and cycles", draw_translations)
FIGURE4_EARLY = _figure(4, "random maps, their images and translations", draw_generation)

"""The metrics of Table 1's variants: one per claim of the thesis (Fig. 13)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from data.slice_sets import Slices, real_slices
from experiments.engine.run import Run
from experiments.engine.scoring import segmentation_figures
from experiments.engine.table import Metric
from experiments.systems.structure_gan.evaluation import (
    find_labels,
    held_out,
    overlap_figures,
)
from utils.inference import compiled
from utils.metrics.features import texture_features
from utils.metrics.images import outside_share
from utils.metrics.quality import TEXTURE, QualityConfig, quality_figures
from utils.seeding import derive_seed

METRICS = (
    Metric(
        "similarity",
        "MS-SSIM of random pairs of a synthetic and a held-out real slice, mean over modalities",
        1,
        "MS-SSIM to real slices (0..1)",
    ),
    Metric(
        "frechet_texture",
        "Frechet distance of first-order and GLCM features to held-out real slices (not FID), in "
        "squared deviations of the real features, mean over modalities",
        -1,
        "Frechet texture distance",
    ),
    Metric(
        "overlap",
        "Dice between the structure maps cut from the four modalities of a slice, lesions removed; "
        "says how well the modalities are registered",
        1,
        "overlap of the modalities' maps (Dice)",
    ),
    Metric(
        "dice_wt",
        "Dice of the real-trained segmenters on the synthetic slices against the input label",
        1,
        "whole-tumour Dice of segmenters",
    ),
    Metric(
        "outside_share",
        "fraction of a slice's summed intensity that lies outside the input mask",
        -1,
        "intensity outside the organ (fraction)",
    ),
    Metric(
        "lesion_outside",
        "fraction of all pixels of the input labels that lie outside the input mask",
        -1,
        "lesion pixels outside the organ (fraction)",
    ),
)


class Judge:
    """Measures sets of slices next to a run's held-out patients, always with the same pairs.

    Args:
        run: of the table, with numbers of slices and pairs, and the seed.
    """

    def __init__(self, run: Run):
        self.source, table = run.source, run.config
        self.quality = QualityConfig(pairs=table.pairs, subsets=1)
        self.seed = derive_seed(table.seed, "pairs")
        self.samples = table.samples
        self.find = compiled(self.source.trained("segmentation").synthesize)
        self.reference = self._real(self.source.split.test)

    def _real(self, subjects: Sequence[str]) -> Slices:
        return real_slices(self.source.prepared, subjects, self.samples, self.seed)

    def figures(self, slices: Slices) -> dict[str, float]:
        """Returns all `METRICS` of a set of slices; NaN for one that is not defined."""
        return {**self._quality(Slices(slices.images)), **self._content(slices)}

    def real(self) -> dict[str, float]:
        """Returns the metrics of real slices: what a perfect set would reach.

        Quality compares as many slices of training patients with the held-out ones; the others are
        those of the held-out slices and their labels.
        """
        return {
            **self._quality(self._real(self.source.split.train)),
            **self._content(held_out(self.source)),
        }

    def _quality(self, slices: Slices) -> dict[str, float]:
        extractors = {TEXTURE: texture_features}
        found = quality_figures(
            slices.images,
            self.reference.images,
            extractors,
            self.quality,
            self.seed,
            slices.subjects,
        )
        similarity = next(v for name, v in found.items() if name.endswith("_similarity"))
        frechet = found[f"frechet_{TEXTURE}"]
        return {"similarity": float(similarity.mean()), "frechet_texture": float(frechet.mean())}

    def _content(self, slices: Slices) -> dict[str, float]:
        lesion = slices.label > 0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            overlap = overlap_figures(self.source, slices, "all")["all/overlap"]
        found = find_labels(self.find, slices.images, self.source.config.evaluation.batch_size)
        scores = segmentation_figures(self.source.prepared.dataset, found, slices.label)
        crossing = np.count_nonzero(lesion & (slices.outside > 0))
        return {
            "overlap": overlap,
            "dice_wt": scores.get("dice_wt", np.nan),
            "outside_share": float(outside_share(slices.images, slices.outside).mean()),
            "lesion_outside": crossing / max(1, np.count_nonzero(lesion)),
        }

"""The synthetic slices of Table 5: drawn with the trained run's systems, stored as records."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from data.synthetic_sets.files import read_manifest
from data.synthetic_sets.records import selected_samples
from experiments.engine.run import Run
from experiments.systems.structure_gan.dataset import draw_set
from utils.errors import UserError


def draw_selected(source: Run, directory: Path, needed: int, max_draws: int) -> None:
    """Draws synthetic samples until `needed` of them pass the trained run's selection.

    Samples that are already there stay, so the set may grow from one start to the next.

    Args:
        source: the trained run.
        directory: where the set is kept.
        needed: number of selected samples.
        max_draws: samples drawn at most, as a multiple of `needed`.

    Raises:
        UserError: too few samples are selected.
    """
    total, limit = needed, needed * max_draws
    while True:
        if _drawn(directory) < total:
            draw_set(source, directory, replace(source.config.dataset, samples=total))
        selected = len(selected_samples(directory))
        if selected >= needed:
            return
        if total >= limit:
            raise UserError(
                f"The chosen rows need {needed} synthetic slices, but only {selected} of {total} "
                f"drawn ones reach the trained run's dataset.min_score of "
                f"{source.config.dataset.min_score:g}; choose rows with less synthetic data, raise "
                "--max_draws or train that run longer"
            )
        total = min(limit, math.ceil(1.1 * total * needed / max(selected, 1)))


def _drawn(directory: Path) -> int:
    manifest = read_manifest(directory)
    return manifest["samples"] if manifest else 0

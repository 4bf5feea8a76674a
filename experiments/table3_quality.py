"""Thesis Table 3 on BRATS: image quality of the main system, SkrGAN* and GAN#.

    python experiments/table3_quality.py --run RUN           # RUN: a finished main run
    python experiments/table3_quality.py                     # makes one on the built-in phantom
    python experiments/table3_quality.py --run RUN --inception-weights FILE    # with FID

Stages: baselines (train both) -> sets (render as many slices with each) -> table.
Source: Yili Qu, master thesis, Table 3 (models/baselines maps its footnotes to this code).
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import numpy as np
import tensorflow as tf

from data.synthetic_sets.files import read_synthetic_set
from experiments.configs.table3 import PRESETS, Table3Config
from experiments.engine.cli import Launch, Option, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, open_evidence
from experiments.systems.baselines import BaselineRun, generator_phases, same_length
from experiments.systems.structure_gan.context import Context
from experiments.systems.structure_gan.dataset import draw_set
from experiments.tables.quality.figures import (
    TEXTURE,
    QualityConfig,
    Slices,
    lesion_crops,
    quality_figures,
    real_slices,
)
from experiments.tables.quality.table import (
    TITLES,
    flat_metrics,
    quality_frame,
    strip,
    table_text,
)
from utils.metrics.features import check_inception_weights, inception_features, texture_features
from utils.reporting import tables
from utils.reporting.charts import save_figure
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed

SCRIPT = Script(
    "experiments/table3_quality.py",
    __doc__.split("\n")[0],
    PRESETS,
    stages=("baselines", "sets", "table"),
    reads_run=True,
    options=(
        Option(
            "inception-weights",
            Optional[Path],
            None,
            "file of Keras' InceptionV3, for FID",
        ),
    ),
)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Runs the chosen stages in order, or prints the plan."""
    weights = launch.options["inception_weights"]
    if weights is not None:
        check_inception_weights(weights)  # told before anything is trained

    def check(source: Context) -> None:
        for baseline in baseline_runs(launch, run, source):
            baseline.check()

    source = open_evidence(launch, run, strategy, check)
    if source is None:
        return
    with Stopwatch(run, "table3"):
        if "baselines" in launch.stages:
            for baseline in baseline_runs(launch, run, source):
                baseline.train()
        if run.writes:
            alone = replace(source, strategy=tf.distribute.get_strategy())
            _evaluate(launch, run, alone)


def baseline_runs(launch: Launch, run: RunDirectory, source: Context) -> list[BaselineRun]:
    """Returns SkrGAN* and GAN#, each for as many updates as the main run's generator got."""
    config, schedule = launch.config, same_length(source, launch.config.steps)
    return [
        BaselineRun(name, getattr(config, name), schedule, source, run, config.seed)
        for name in ("skrgan_star", "gan_sharp")
    ]


def _evaluate(launch: Launch, run: RunDirectory, source: Context) -> None:
    """Stages "sets" and "table", which one process does."""
    if not {"sets", "table"} & set(launch.stages):
        return
    ours = own_set(source, run, launch.config.samples)
    maps = ours.pop("structure")
    sets = {"ours": Slices(**ours)}
    for baseline in baseline_runs(launch, run, source):
        sets[baseline.name] = Slices(baseline.images(maps))
    if "table" in launch.stages:
        write_table(launch, run, source, sets)


def own_set(source: Context, run: RunDirectory, samples: int) -> dict[str, np.ndarray]:
    """Returns images, label and structure of the main system's first `samples` slices.

    A main run with fewer is not touched: its systems draw a larger set into OUT/synthetic, which
    begins with the same samples.
    """
    directory = source.run.synthetic
    if read_json(directory / "manifest.json")["samples"] < samples:
        directory = run.synthetic
        draw_set(source, directory, replace(source.config.dataset, samples=samples))
    rows = list(itertools.islice(read_synthetic_set(directory), samples))
    return {key: np.stack([r[key] for r in rows]) for key in ("images", "label", "structure")}


def write_table(
    launch: Launch, run: RunDirectory, source: Context, sets: dict[str, Slices]
) -> None:
    """Measures all sets next to held-out slices and writes table3.{csv,md,png} and metrics."""
    config = launch.config
    held_out = _real(source, source.split.test, config)
    sets = {"real": _real(source, source.split.train, config), **sets}
    jobs = {name: (part, held_out) for name, part in sets.items()}
    jobs.update(_crop_jobs(sets, held_out, config.quality))
    extractors = {TEXTURE: texture_features}
    weights = launch.options["inception_weights"]
    if weights is not None:
        extractors["inception"] = functools.partial(inception_features, weights=weights)
    seed = derive_seed(config.seed, "quality")
    figures = {
        name: quality_figures(*pair, extractors, config.quality, seed)
        for name, pair in jobs.items()
    }
    sizes = {name: (len(part), len(reference)) for name, (part, reference) in jobs.items()}
    frame = quality_frame(figures, sizes)
    notes = _notes(launch, source)
    if "ours_tumour" not in jobs:
        notes.append(
            "The rows of tumour crops are left out: fewer than 2 slices of a set hold a lesion of "
            "that size; lower --quality.smallest_lesion or raise --samples."
        )
    text = table_text(frame, figures, sizes, notes)
    tables.write_table(run.path / "table3", frame, text)
    rows = {TITLES[name].split(" (")[0]: _with_lesion(part).images for name, part in sets.items()}
    save_figure(strip(rows), run.path / "table3.png")
    steps = same_length(source, config.steps).steps
    run.update_metrics({**flat_metrics(figures, sizes), "table3/updates": steps})
    print(f"\n{text}\n{run.path / 'table3.md'}")


def _real(source: Context, subjects: Sequence[str], config: Table3Config) -> Slices:
    """Returns at most as many real slices as there are synthetic ones: N moves the distances."""
    seed = derive_seed(config.seed, "real", *subjects)
    return real_slices(source.prepared, subjects, config.samples, seed)


def _crop_jobs(
    sets: Mapping[str, Slices], held_out: Slices, quality: QualityConfig
) -> dict[str, tuple[Slices, Slices]]:
    """Returns equally many tumour crops of real and own slices, each with held-out ones.

    Empty if a set has fewer than 2, which no figure can be made of.
    """
    crops = [lesion_crops(part, quality) for part in (held_out, sets["real"], sets["ours"])]
    count = min(map(len, crops))
    if count < 2:
        return {}
    reference, real, ours = (part.take(count) for part in crops)
    return {"real_tumour": (real, reference), "ours_tumour": (ours, reference)}


def _with_lesion(slices: Slices) -> Slices:
    """Returns slices with a large lesion, each of another patient; all if they have no labels."""
    if slices.label is None:
        return slices
    size = np.count_nonzero(slices.label, axis=(1, 2))
    large = slices.choose(np.flatnonzero(size >= np.median(size)))
    if large.subjects is None:
        return large
    return large.choose(np.sort(np.unique(large.subjects, return_index=True)[1]))


def _notes(launch: Launch, source: Context) -> list[str]:
    config = launch.config
    phases = generator_phases(source)
    own = " + ".join(f"{p.steps} updates with batches of {p.batch_size}" for p in phases)
    baselines = same_length(source, config.steps)
    return [
        f"Data: {source.data_note}; {len(source.split.train)} training and "
        f"{len(source.split.test)} held-out patients; slices of "
        f"{'x'.join(map(str, source.prepared.size))} pixels.",
        f"Command: `{command(SCRIPT, launch)}`; seed {config.seed}, that of the main run "
        f"{source.config.seed}; one run of each system.",
        f"Training: the generator of Ours {own}; of SkrGAN* and GAN# {baselines.steps} updates "
        f"with batches of {baselines.batch_size}. Ours also has guides (translator, segmenters) "
        "that were trained before.",
        "Ours, SkrGAN*: the same generated structure maps, unfiltered by lesion; GAN#: noise.",
        f"Pairs: {config.quality.pairs} per MS-SSIM; kernel distance: {config.quality.subsets} "
        f"subsets of at most {config.quality.subset_size} slices; the same seed for all systems.",
        f"Tumour crops: the square around the label's bounding box, widened by "
        f"{config.quality.crop_margin} pixels, resized to {config.quality.crop_size}x"
        f"{config.quality.crop_size}; lesions of {config.quality.smallest_lesion} or more pixels.",
        "Intensities are min-max per volume, not per slice as in the released code.",
        "The real row measures slices of training patients next to held-out ones: what a perfect "
        "synthetic set would score.",
    ]


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))

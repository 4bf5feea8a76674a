"""Thesis Tables 2 and 3: image quality of the main system and of seven other GANs."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from data.contract import PIXELS, DataSet
from data.slice_sets import Slices, real_slices, stored_slices
from data.synthetic_sets.files import finished_manifest
from experiments.configs.quality import PRESETS, QualityTableConfig
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.pictures import image_row
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.engine.table import Table
from experiments.systems.baselines.rivals import (
    baseline,
    baseline_images,
    check_baselines,
    chosen_trainings,
    classic,
    generator_phases,
    same_length,
)
from experiments.systems.structure_gan.dataset import draw_set
from experiments.systems.structure_gan.images.stages import (
    TRAIN_CHEST_XRAY,
    TRAIN_LUNG_CT,
    TRAIN_RETINA,
    TRAIN_TIANCHI_CT,
)
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.quality.rows import (
    TABLE2,
    TABLE3,
    TITLES,
    by_channel,
    judged_channels,
    key_of,
    measured_table,
)
from models.baselines.latent_config import LATENT_GANS
from utils.metrics.distributions import is_rank_deficient
from utils.metrics.features import (
    INCEPTION_WIDTH,
    TEXTURE_FEATURE_NAMES,
    check_inception_weights,
    inception_features,
    texture_features,
)
from utils.metrics.quality import (
    FRECHET_RESAMPLES,
    RESAMPLES,
    TEXTURE,
    QualityConfig,
    lesion_crops,
    quality_figures,
)
from utils.reporting.pictures import grid, plain_row, write_png
from utils.seeding import derive_seed

# Number of features of each extractor.
WIDTHS = {TEXTURE: len(TEXTURE_FEATURE_NAMES), "inception": INCEPTION_WIDTH}


BASELINES = (*map(baseline, ("skrgan_star", "gan_sharp")), *map(classic, LATENT_GANS))


def synthetic_sets(run: Run) -> dict[str, Slices]:
    """Returns as many images of the main system and of each baseline, rendered once."""
    ours = own_set(run)
    maps = ours.structure
    return {
        "ours": replace(ours, subjects=None),
        **{t.name: Slices(baseline_images(run, t, maps)) for t in chosen_trainings(run)},
    }


def own_set(run: Run) -> Slices:
    """Returns the main system's first `samples` images.

    A trained run with fewer is not touched: its systems draw a larger set into OUT/synthetic, which
    begins with the same samples.
    """
    source, samples = run.source, run.config.samples
    directory = source.synthetic
    if finished_manifest(directory)["samples"] < samples:
        directory = run.synthetic
        draw_set(source, directory, replace(source.config.dataset, samples=samples))
    return stored_slices(directory, samples)


def write(run: Run) -> None:
    """Measures all sets next to held-out images; writes the table, a picture of it and metrics."""
    config, source, dataset = run.config, run.source, run.prepared.dataset
    reference = _real(source, source.split.test, config)
    sets = {"real": _real(source, source.split.train, config), **synthetic_sets(run)}
    pairs = {name: (part, reference) for name, part in sets.items()}
    crops = dataset.has_label and dataset.label_kind == PIXELS
    if crops:
        pairs.update(_crop_pairs(sets, reference, config))
    extractors = _extractors(run.request.options["inception_weights"])
    table = measured_table(run.experiment.table, dataset, run.prepared.size, extractors)
    channels = judged_channels(dataset)
    judged = [dataset.channels.index(channel) for channel in channels]
    seed = derive_seed(config.seed, "quality")
    settings = {
        "seed": seed,
        "quality": asdict(config.quality),
        "sizes": {name: [len(part) for part in pair] for name, pair in pairs.items()},
        "extractors": sorted(extractors),
        "intervals": [RESAMPLES, FRECHET_RESAMPLES],
    }

    def measure(row: str) -> dict[str, float]:
        part, other = pairs[row.split("/")[-1]]
        sizes = {"images": len(part), "held_out": len(other)}
        images, others = (each.images[..., judged] for each in (part, other))
        found = quality_figures(images, others, extractors, config.quality, seed, part.subjects)
        return {**sizes, **by_channel(found, channels)}

    keys = [key_of(dataset.name, row) for row in pairs]
    table.measure(run, measure, settings, keys, file=lambda row: row.split("/")[-1])
    run.update_metrics({f"{table.key}/updates": same_length(source, config.steps).steps})
    fewest = min(len(part) for pair in pairs.values() for part in pair)
    notes = [*_notes(run), *_warnings(extractors, fewest)]
    if crops:
        notes += _crop_notes(pairs, config.quality)
    table.write(run, notes)
    rows = {TITLES[name].split(" (")[0]: _with_lesion(part, dataset) for name, part in sets.items()}
    write_png(run.path / f"{table.key}.png", strip(rows, dataset))


def _extractors(weights: Optional[Path]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns functions from images to features, by name; `weights` are InceptionV3's, for FID."""
    if weights is None:
        return {TEXTURE: texture_features}
    inception = functools.partial(inception_features, weights=weights)
    return {TEXTURE: texture_features, "inception": inception}


def strip(sets: Mapping[str, Slices], dataset: DataSet, examples: int = 2) -> np.ndarray:
    """Returns a picture [H,W,3]: a row per set with a column for each modality of two examples.

    Where a sample is a single image, there are four columns for each of the examples.
    """
    if dataset.one_image:
        rows = [image_row(part.take(4 * examples).images, dataset) for part in sets.values()]
        return grid(rows, titles=list(sets))
    modalities = dataset.channels
    blank = np.zeros((1, *next(iter(sets.values())).images.shape[1:3]))
    rows = [
        [
            plain_row(slices.images[k : k + 1, ..., i] if k < len(slices) else blank)[0]
            for k in range(examples)
            for i in range(len(modalities))
        ]
        for slices in sets.values()
    ]
    return grid(rows, titles=list(sets), headers=modalities * examples)


def _real(source: Run, subjects: Sequence[str], config: QualityTableConfig) -> Slices:
    """Returns at most as many real slices as synthetic ones: the distances depend on N."""
    seed = derive_seed(config.seed, "real", *subjects)
    return real_slices(source.prepared, subjects, config.samples, seed)


def _crop_pairs(
    sets: Mapping[str, Slices], reference: Slices, config: QualityTableConfig
) -> dict[str, tuple[Slices, Slices]]:
    """Returns equally many tumour crops of real and own slices, each with held-out ones.

    Empty if a set has fewer than 2 crops, too few for a metric.
    """
    parts = (reference, sets["real"], sets["ours"])
    crops = []
    for part in parts:
        images, rows = lesion_crops(part.images, part.label, config.quality)
        subjects = None if part.subjects is None else part.subjects[rows]
        crops.append(Slices(images, subjects=subjects))
    count = min(map(len, crops))
    if count < 2:
        return {}
    reference, real, ours = (part.take(count) for part in crops)
    return {"real_tumour": (real, reference), "ours_tumour": (ours, reference)}


def _with_lesion(slices: Slices, dataset: DataSet) -> Slices:
    """Returns slices with a large lesion, each of another patient; all without labels of pixels."""
    if slices.label is None or dataset.label_kind != PIXELS:
        return slices
    size = np.count_nonzero(slices.label, axis=(1, 2))
    large = slices.choose(np.flatnonzero(size >= np.median(size)))
    if large.subjects is None:
        return large
    return large.choose(np.sort(np.unique(large.subjects, return_index=True)[1]))


def _notes(run: Run) -> list[str]:
    config, source = run.config, run.source
    own = " + ".join(
        f"{p.steps} updates with batches of {p.batch_size}" for p in generator_phases(source)
    )
    baselines = same_length(source, config.steps)
    return [
        f"Seed {config.seed}, that of the trained run {source.config.seed}; one run of each "
        f"system; images of {'x'.join(map(str, source.prepared.size))} pixels.",
        f"Training: the generator of Ours {own}; of SkrGAN* and GAN# {baselines.steps} updates "
        f"with batches of {baselines.batch_size}{_classic_note(run)}. Ours also has guides, which "
        "were trained before, where its data set has labels.",
        "Ours, SkrGAN*: the same generated structure maps, unfiltered by lesion; others: noise. "
        "Images of the classic GANs are squares of their own size (`--<model>.size`), resized.",
        f"Pairs: {config.quality.pairs} per MS-SSIM; kernel distance: {config.quality.subsets} "
        f"subsets of at most {config.quality.subset_size} slices; the same seed for all systems.",
        "± is half the width of the 95 % percentile bootstrap interval over the choice of images "
        "(drawn with replacement), not over trainings.",
        "The real row measures images of training patients next to held-out ones: what a perfect "
        "synthetic set would score.",
    ]


def _classic_note(run: Run) -> str:
    """Returns how long each classic GAN was trained; "" without any."""
    texts = [
        f"{TITLES[t.name]} {run.schedule(t).steps} with {run.schedule(t).batch_size}"
        f"{' (of its critic)' * t.name.startswith('wgan')}"
        for t in chosen_trainings(run)
        if t.name in LATENT_GANS
    ]
    what = {"images": "as many images", "time": "as much time"}[run.config.budget]
    wgan = run.config.wgan
    if "wgan" in run.config.chosen and not (wgan.long_starts or wgan.long_every):
        texts[-1] += "; WGAN's critic has none of its authors' long turns"
    return f"; the classic GANs, with {what}: {', '.join(texts)}" if texts else ""


def _crop_notes(pairs: Collection[str], config: QualityConfig) -> list[str]:
    """Returns how tumours are cut out, and a caution if there are too few of them."""
    notes = [
        f"Tumour crops: the square around the label's bounding box, widened by {config.crop_margin}"
        f" pixels, resized to {config.crop_size}x{config.crop_size}; lesions of "
        f"{config.smallest_lesion} or more pixels."
    ]
    if "ours_tumour" not in pairs:
        notes.append(
            "The rows of tumour crops are left out: fewer than 2 slices of a set hold a lesion of "
            "that size; lower --quality.smallest_lesion or raise --samples."
        )
    return notes


def _warnings(extractors: Collection[str], fewest: int) -> list[str]:
    """Returns cautions for sets of which the smallest has `fewest` slices."""
    texts = [
        f"Caution: {fewest} slices are fewer than {width} {extractor} features need; their "
        "Frechet distances rest on singular covariances and are too large."
        for extractor, width in WIDTHS.items()
        if extractor in extractors and is_rank_deficient(fewest, width)
    ]
    if "inception" not in extractors:
        texts.append("FID is absent: it needs `--inception-weights FILE`.")
    return texts


def check_weights(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Refuses unfit weights before anything is trained."""
    weights = request.options["inception_weights"]
    if weights is not None:
        check_inception_weights(weights)


def quality_experiment(
    script: str, summary: str, source: Experiment, others: tuple[Experiment, ...], table: Table
) -> Experiment:
    """Returns the script of a table on runs of `source` or of one of `others`."""
    return Experiment(
        script,
        summary,
        PRESETS,
        stages=(
            *BASELINES,
            Task("sets", synthetic_sets, needs=("baselines",)),
            Task("table", write, needs=("baselines",)),
        ),
        sources=Finished(source, check_baselines, others),
        check=check_weights,
        options=(
            Option(
                "inception-weights", Optional[Path], None, "file of Keras' InceptionV3, for FID"
            ),
        ),
        table=table,
    )


TABLE2_QUALITY = quality_experiment(
    "experiments/table2_quality.py",
    "Thesis Table 2 on chest X-rays and lung CT: image quality beside seven other GANs.",
    TRAIN_CHEST_XRAY,
    (TRAIN_LUNG_CT,),
    TABLE2,
)
TABLE3_QUALITY = quality_experiment(
    "experiments/table3_quality.py",
    "Thesis Table 3 on BRATS, retina and Tianchi's CT: image quality beside seven other GANs.",
    TRAIN_BRATS,
    (TRAIN_RETINA, TRAIN_TIANCHI_CT),
    TABLE3,
)

"""Thesis Table 3 on BRATS: image quality of the main system, SkrGAN* and GAN#."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from data.brats.names import MODALITIES
from data.slice_sets import Slices, real_slices, stored_slices
from data.synthetic_sets.files import finished_manifest
from experiments.configs.table3 import PRESETS, Table3Config
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.engine.table import Metric, Row, Table
from experiments.systems.baselines import (
    baseline,
    baseline_images,
    check_baselines,
    generator_phases,
    same_length,
)
from experiments.systems.structure_gan.dataset import draw_set
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from utils.metrics.distributions import is_rank_deficient
from utils.metrics.features import (
    INCEPTION_EXTRACTOR,
    INCEPTION_WIDTH,
    TEXTURE_EXTRACTOR,
    TEXTURE_FEATURE_NAMES,
    check_inception_weights,
    inception_features,
    texture_features,
)
from utils.metrics.images import ms_ssim_name
from utils.metrics.quality import TEXTURE, lesion_crops, quality_figures
from utils.reporting.pictures import grid, plain_row, write_png
from utils.seeding import derive_seed

SIMILARITY, FID = "ms_ssim_*_similarity", "frechet_inception"
DEFINITIONS = {
    SIMILARITY: "MS-SSIM of random pairs of a slice of the set and a held-out slice, both drawn "
    "independently. The thesis' metric (it pairs two directory listings); there, higher is better. "
    "The mark to meet is the real row; smooth slices, or a collapsed set of typical ones, can "
    "exceed it",
    "ms_ssim_*_diversity": "MS-SSIM of random pairs of different slices of the set (real: of "
    "different patients, if there are several); lower is more diverse, the mark to meet is the "
    "real row",
    "frechet_texture": "Frechet distance of texture features to held-out slices (not FID), lower "
    f"is nearer; extractor {TEXTURE_EXTRACTOR}, {len(TEXTURE_FEATURE_NAMES)} features in units of "
    "the held-out slices' deviations",
    "kernel_texture": "kernel distance (unbiased squared MMD, mean over subsets) of the same "
    "features; lower is nearer, equal distributions give 0 on average",
    FID: f"FID of the extractor {INCEPTION_EXTRACTOR}; lower is nearer. Not the network of the "
    "thesis' FID: the values do not compare",
    "kernel_inception": "kernel distance (KID) of the same features; lower is nearer",
}
# Number of features of each extractor.
WIDTHS = {TEXTURE: len(TEXTURE_FEATURE_NAMES), "inception": INCEPTION_WIDTH}


def _row(key: str, title: str, similarity: float, fid: float) -> Row:
    paper = {SIMILARITY: similarity, FID: fid}
    return Row(key, title, paper, f"thesis Table 3, BRATS MRI, {title}")


def findings(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns a sentence per metric: the order of the three systems, and if it is the thesis'.

    "Best" is the highest similarity, the diversity nearest to that of real slices, and the smallest
    distance.
    """
    sentences = []
    for name in (metric.key for metric in table.metrics if not metric.whole):
        value = {row: table.value(figures, row, name) for row in (*COMPARED, "real")}
        if name.endswith("similarity"):
            cost = {system: -value[system] for system in COMPARED}
        elif name.endswith("diversity"):
            cost = {system: abs(value[system] - value["real"]) for system in COMPARED}
        else:
            cost = {system: value[system] for system in COMPARED}
        order = sorted(COMPARED, key=cost.get)
        found = ", ".join(f"{TITLES[system]} {value[system]:.3g}" for system in order)
        verdict = "the thesis' order" if order == list(COMPARED) else "not the thesis' order"
        sentences.append(f"{name}: best to worst {found} (real {value['real']:.3g}); {verdict}.")
    return sentences


TABLE = Table(
    "table3",
    "Table 3: quality of synthetic slices (BRATS row)",
    rows=(
        Row("real", "real (training patients)"),
        _row("ours", "Ours", 0.727, 22.27),
        _row("skrgan_star", "SkrGAN*", 0.713, 28.46),
        _row("gan_sharp", "GAN#", 0.561, 104.53),
        Row("real_tumour", "real, tumour crops"),
        _row("ours_tumour", "Ours+ (tumour crops)", 0.738, 21.15),
    ),
    metrics=(),  # their names depend on the size of the slices, see `measured_table`
    parts=MODALITIES,
    paper_note="The thesis' numbers are MS-SSIM (to real) and FID of BRATS 2015 at another size "
    "and with another extractor: compare the order, not the values.",
    ledger={"MS-SSIM": SIMILARITY, "FID": FID, "Frechet texture distance": "frechet_texture"},
    claims=findings,
)
TITLES = {row.key: row.title for row in TABLE.rows}
COMPARED = ("ours", "skrgan_star", "gan_sharp")  # in the order that the thesis found
SKRGAN_STAR, GAN_SHARP = baseline("skrgan_star"), baseline("gan_sharp")


def synthetic_sets(run: Run) -> dict[str, Slices]:
    """Returns as many slices of the main system and of both baselines, rendered once."""
    ours = own_set(run)
    maps = ours.structure
    return {
        "ours": replace(ours, subjects=None),
        **{t.name: Slices(baseline_images(run, t, maps)) for t in run.experiment.trainings},
    }


def own_set(run: Run) -> Slices:
    """Returns the main system's first `samples` slices.

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
    """Measures all sets next to held-out slices and writes table3.{csv,md,png} and metrics."""
    config, source = run.config, run.source
    reference = _real(source, source.split.test, config)
    sets = {"real": _real(source, source.split.train, config), **synthetic_sets(run)}
    pairs = {name: (part, reference) for name, part in sets.items()}
    pairs.update(_crop_pairs(sets, reference, config))
    extractors = _extractors(run.request.options["inception_weights"])
    table = measured_table(source.prepared.size, extractors)
    seed = derive_seed(config.seed, "quality")
    settings = {
        "seed": seed,
        "quality": asdict(config.quality),
        "sizes": {name: [len(part) for part in pair] for name, pair in pairs.items()},
        "extractors": sorted(extractors),
    }

    def measure(row: str) -> dict[str, float]:
        part, other = pairs[row]
        sizes = {"images": len(part), "held_out": len(other)}
        found = quality_figures(
            part.images, other.images, extractors, config.quality, seed, part.subjects
        )
        return {**sizes, **by_modality(found)}

    table.measure(run, measure, settings, pairs)
    run.update_metrics({"table3/updates": same_length(source, config.steps).steps})
    fewest = min(len(part) for pair in pairs.values() for part in pair)
    notes = [*_notes(run), *_warnings(extractors, fewest)]
    if "ours_tumour" not in pairs:
        notes.append(
            "The rows of tumour crops are left out: fewer than 2 slices of a set hold a lesion of "
            "that size; lower --quality.smallest_lesion or raise --samples."
        )
    table.write(run, notes)
    rows = {TITLES[name].split(" (")[0]: _with_lesion(part) for name, part in sets.items()}
    write_png(run.path / "table3.png", strip(rows))


def _extractors(weights: Optional[Path]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns functions from images to features, by name; `weights` are InceptionV3's, for FID."""
    if weights is None:
        return {TEXTURE: texture_features}
    inception = functools.partial(inception_features, weights=weights)
    return {TEXTURE: texture_features, "inception": inception}


def by_modality(figures: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the mean and the single values of metrics that are given per modality [4]."""
    means = {name: float(values.mean()) for name, values in figures.items()}
    parts = {
        f"{modality}/{name}": float(value)
        for name, values in figures.items()
        for modality, value in zip(MODALITIES, values)
    }
    return {**means, **parts}


def measured_table(size: tuple[int, int], extractors: Iterable[str]) -> Table:
    """Returns the table with its metrics, whose names depend on the slices and extractors.

    Args:
        size: height and width of the slices, which limit the number of scales of MS-SSIM.
        extractors: names of the feature extractors.
    """
    scales = ms_ssim_name(*size)
    names = [f"{scales}_similarity", f"{scales}_diversity"]
    names += [f"{kind}_{name}" for name in extractors for kind in ("frechet", "kernel")]
    metrics = [
        Metric("images", "number of slices, or of their crops", whole=True),
        Metric("held_out", "number of those that they are compared with", whole=True),
        *(Metric(name, DEFINITIONS[name.replace(scales, "ms_ssim_*")]) for name in names),
    ]
    return replace(TABLE, metrics=metrics)


def strip(sets: Mapping[str, Slices], examples: int = 2) -> np.ndarray:
    """Returns a picture [H,W,3]: a row per set and, for each example, a column per modality."""
    blank = np.zeros((1, *next(iter(sets.values())).images.shape[1:3]))
    rows = [
        [
            plain_row(slices.images[k : k + 1, ..., i] if k < len(slices) else blank)[0]
            for k in range(examples)
            for i in range(len(MODALITIES))
        ]
        for slices in sets.values()
    ]
    return grid(rows, titles=list(sets), headers=MODALITIES * examples)


def _real(source: Run, subjects: Sequence[str], config: Table3Config) -> Slices:
    """Returns at most as many real slices as synthetic ones: the distances depend on N."""
    seed = derive_seed(config.seed, "real", *subjects)
    return real_slices(source.prepared, subjects, config.samples, seed)


def _crop_pairs(
    sets: Mapping[str, Slices], reference: Slices, config: Table3Config
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


def _with_lesion(slices: Slices) -> Slices:
    """Returns slices with a large lesion, each of another patient; all if they have no labels."""
    if slices.label is None:
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
        f"system; slices of {'x'.join(map(str, source.prepared.size))} pixels.",
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


TABLE3 = Experiment(
    "experiments/table3_quality.py",
    "Thesis Table 3 on BRATS: image quality of the main system, SkrGAN* and GAN#.",
    PRESETS,
    stages=(
        SKRGAN_STAR,
        GAN_SHARP,
        Task("sets", synthetic_sets, needs=("baselines",)),
        Task("table", write, needs=("baselines",)),
    ),
    sources=Finished(TRAIN_BRATS, check_baselines),
    check=check_weights,
    options=(
        Option("inception-weights", Optional[Path], None, "file of Keras' InceptionV3, for FID"),
    ),
    table=TABLE,
)

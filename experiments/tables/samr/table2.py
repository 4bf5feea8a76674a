"""SAMR Table 2: do slices made of changed labels help a segmenter?

Each method's generator learns from the training patients. Their labels are then changed at random
(`data.manipulation.random_change`), the generator draws slices of them, and a segmenter learns from
the real slices and from these. All segmenters start alike and are scored on the held-out patients.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import tensorflow as tf

from data.brats.slices import voxel_size
from data.brats.with_brain import BRATS_WITH_BRAIN
from data.manipulation import random_change
from data.pipeline import number_of_slices
from data.shards import PreparedSlices
from data.slice_sets import Slices, patient_volumes, real_slices
from data.synthetic_sets.records import Record, write_records
from experiments.configs.samr import TABLE2_PRESETS, TRAININGS, SAMRRunConfig, SAMRTable2Config
from experiments.engine.experiment import Experiment, Option, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Variants
from experiments.engine.table import Metric, Row, Table
from experiments.systems.samr.evaluation import made_from
from experiments.systems.samr.pictures import draw_labels
from experiments.systems.samr.stages import KEYS, TRAIN_SAMR
from models.samr.config import METHODS
from models.samr.segmenter import LabelNet
from utils.config import with_values
from utils.errors import UserError
from utils.inference import compiled, infer
from utils.metrics.contrasts import Contrast, examine
from utils.metrics.segmentation import dice
from utils.metrics.surface import hausdorff95
from utils.reporting.tables import markdown_table
from utils.runs.files import write_text
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_sizes

TITLES = {
    "pix2pix": "pix2pix",
    "pix2pixhd": "pix2pixHD",
    "samr": "SAMR",
    "without_stretch_out": "SAMR without stretch-out",
    "without_label_wise": "SAMR without label-wise discriminators",
    "without_atlas": "SAMR without atlas",
    "without_consistency": "SAMR without lesion-shape consistency",
}
RIVALS = ("pix2pix", "pix2pixhd")
ABLATIONS = tuple(name for name in METHODS if name.startswith("without"))
REAL = "real"
ANALYSIS = ("experiments", "resamples")  # on which no row's result depends
# Experiment -> the rows' methods, and made slices for each real one.
EXPERIMENTS: Mapping[str, tuple[Sequence[str], float]] = {
    "1": ((*RIVALS, "samr"), 1.0),
    "2": ((*RIVALS, "samr"), 0.5),
    "3": ((REAL,), 0.0),
    "4": ((*ABLATIONS, "samr"), 1.0),
}
LESIONS = BRATS_WITH_BRAIN.classes[BRATS_WITH_BRAIN.first_lesion :]
FIGURES = ("dice", "hd95", "sensitivity", "specificity")
# The paper's labels are another data set's: oedema is the only one in common.
PAPER_LABELS = ("oedema", "cavity", "tumour")
PAPER = {
    "real": (0.646, 0.613, 0.673, 8.816, 7.856, 7.078, 0.661, 0.576, 0.687, 0.996, 0.999, 0.998),
    "pix2pix_1": (
        *(0.589, 0.459, 0.562, 13.180, 21.003, 10.139),
        *(0.626, 0.419, 0.567, 0.995, 0.998, 0.999),
    ),
    "pix2pixhd_1": (
        *(0.599, 0.527, 0.571, 17.406, 8.606, 10.369),
        *(0.630, 0.494, 0.570, 0.996, 0.998, 0.999),
    ),
    "samr_1": (0.794, 0.813, 0.821, 6.049, 1.568, 2.293, 0.789, 0.807, 0.841, 0.997, 0.999, 0.999),
    "pix2pix_0.5": (
        *(0.602, 0.502, 0.569, 10.706, 9.431, 10.147),
        *(0.640, 0.463, 0.579, 0.995, 0.999, 0.998),
    ),
    "pix2pixhd_0.5": (
        *(0.634, 0.514, 0.663, 17.754, 9.512, 9.061),
        *(0.670, 0.472, 0.671, 0.996, 0.999, 0.999),
    ),
    "samr_0.5": (
        *(0.745, 0.780, 0.772, 8.779, 6.757, 4.735),
        *(0.760, 0.788, 0.805, 0.997, 0.999, 0.999),
    ),
    "without_stretch_out_1": (
        *(0.684, 0.713, 0.705, 6.592, 5.059, 4.002),
        *(0.708, 0.699, 0.719, 0.997, 0.999, 0.999),
    ),
    "without_label_wise_1": (
        *(0.753, 0.797, 0.785, 7.844, 2.570, 2.719),
        *(0.735, 0.780, 0.783, 0.998, 0.999, 0.999),
    ),
    "without_atlas_1": (
        *(0.677, 0.697, 0.679, 13.909, 11.481, 7.123),
        *(0.691, 0.689, 0.723, 0.997, 0.999, 0.998),
    ),
    "without_consistency_1": (
        *(0.728, 0.795, 0.771, 8.604, 3.024, 3.233),
        *(0.738, 0.777, 0.777, 0.997, 0.999, 0.999),
    ),
}
OPTION = Option(
    "methods",
    Optional[Path],
    None,
    "folder with a run of train_samr.py per method; made where missing (default: OUT/methods)",
)


def row_key(method: str, share: float) -> str:
    """Returns the name of a method's row with so many made slices for each real one."""
    return REAL if method == REAL else f"{method}_{share:g}"


def _rows() -> tuple[Row, ...]:
    rows: dict[str, Row] = {}
    for number, (methods, share) in EXPERIMENTS.items():
        for method in methods:
            key = row_key(method, share)
            if key in rows:
                continue
            places = [(figure, label) for figure in FIGURES for label in PAPER_LABELS]
            paper = {f"{label}/{figure}": v for (figure, label), v in zip(places, PAPER[key])}
            title = "real alone" if method == REAL else f"real + {share:.0%} {TITLES[method]}"
            place = f"SAMR Table 2, experiment {number}, {title}"
            rows[key] = Row(key, title, paper, place)
    return tuple(rows.values())


TABLE = Table(
    "table2_samr",
    "SAMR, Table 2: segmentation with slices made of changed labels",
    rows=_rows(),
    metrics=(
        Metric("dice", "Dice of each lesion label in the patient's volume", 1),
        Metric("hd95", "95th percentile of its surfaces' distances, mm", -1),
        Metric("sensitivity", "share of its voxels that are found", 1),
        Metric("specificity", "share of the other voxels that are left alone", 1),
    ),
    parts=LESIONS,
    paper_note="Means over the held-out patients; in the first table over the lesion labels too. "
    "The paper's numbers are of 90 patients of its own, with the labels oedema, cavity and tumour: "
    "oedema is the only one in common.",
    ledger={"oedema Dice": "oedema/dice", "mean Dice": "dice"},
)


def method_configs(config: SAMRTable2Config) -> dict[str, SAMRRunConfig]:
    """Returns the configuration of each method's run."""
    sizes = {
        "pix2pix": {"width": config.rival_width},
        "pix2pixhd": {"width": config.rival_width, "down_samplings": config.rival_halvings},
    }
    training = config.training
    return {
        name: replace(training, samr=with_values(training.samr, {**changes, **sizes.get(name, {})}))
        for name, changes in METHODS.items()
    }


def chosen_rows(experiments: str) -> dict[str, tuple[str, float]]:
    """Returns method and share of the rows of some experiments, by key; UserError for others."""
    names = [name.strip() for name in experiments.split(",")]
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise UserError(
            f"--experiments has {unknown[0]!r}; give some of {', '.join(EXPERIMENTS)}, separated "
            "by commas"
        )
    rows = {}
    for name in sorted(names, key=lambda name: name != "3"):  # real alone first: all compare
        methods, share = EXPERIMENTS[name]
        rows.update({row_key(method, share): (method, share) for method in methods})
    return rows


def needed_methods(config: SAMRTable2Config) -> dict[str, SAMRRunConfig]:
    """Returns the configurations of the runs that the experiments need; SAMR gives the data."""
    methods = {"samr", *(method for method, _ in chosen_rows(config.experiments).values())}
    return {name: run for name, run in method_configs(config).items() if name in methods}


def write(run: Run) -> None:
    """Writes table2_samr.{csv,md}, patients.csv and the keys `table2_samr/...` of metrics.json."""
    rows = chosen_rows(run.config.experiments)
    settings = {key: v for key, v in asdict(run.config).items() if key not in ANALYSIS}

    def measure(row: str) -> dict[str, float]:
        scores = score_row(run, *rows[row])
        write_text(_patients(run, row), scores.to_csv(index=False))
        figures = scores.groupby("label")[list(FIGURES)].mean()
        found = {f"{label}/{key}": figures.loc[label, key] for label in LESIONS for key in FIGURES}
        return {**found, **figures.mean().to_dict()}

    TABLE.measure(run, measure, settings, rows)
    TABLE.write(
        run,
        ("One training of each segmenter, on one device.",),
        ["## Differences to the real slices alone", markdown_table(differences(run))],
    )


def differences(run: Run) -> pd.DataFrame:
    """Returns each row's Dice minus that of the real slices alone, with its 95 % BCa interval.

    The mean over a patient's labels is compared, patient by patient; p-values are not adjusted.
    """
    found = []
    for row in (row.key for row in TABLE.rows):
        if _patients(run, row).exists():
            scores = pd.read_csv(_patients(run, row)).groupby("patient", as_index=False)["dice"]
            found.append(scores.mean().assign(no=row, repeat=0, slices=1))
    results = pd.concat(found)
    lines = []
    for row in TABLE.rows:
        contrast = Contrast(row.title, [(row.key, REAL)], 1)
        chance = derive_seed(run.config.training.seed, "difference", row.key)
        finding = examine(contrast, results, run.config.resamples, chance)
        if row.key != REAL and finding.interval:
            line = dict(zip(("difference", "low", "high"), finding.interval))
            more = {"p": finding.p_value, "detectable": finding.detectable}
            lines.append({"row": row.title, **line, **more})
    return pd.DataFrame(lines)


def _patients(run: Run, row: str) -> Path:
    return run.path / "rows" / f"{row}_patients.csv"


def score_row(run: Run, method: str, share: float) -> pd.DataFrame:
    """Trains a row's segmenter; returns its scores, a line per held-out patient and lesion label.

    Args:
        run: of the table.
        method: whose slices are added to the real ones, or "real" for none.
        share: how many, for each real one.
    """
    key = row_key(method, share)
    if share:
        run = with_made_slices(
            run, run.sources[method], share, run.path / "made" / f"{key}.tfrecord"
        )
    seed = derive_seed(run.config.training.seed, "segmenter")
    schedule = run.config.schedule
    steps = schedule.total_steps(number_of_slices(run.prepared, run.split.train))
    data = run.prepared.dataset
    with run.strategy.scope():
        tf.keras.utils.set_random_seed(seed)
        sizes = len(data.channels), data.num_classes
        system = LabelNet(run.config.segmenter, *sizes, steps)
    training = Training(
        key,
        build=lambda run: system,
        batches=functools.partial(_batches, seed=seed),
        draw=draw_labels,
        keys=KEYS,
        learning_rate="--segmenter.learning_rate",
        batch_size="--schedule.batch_size",
        schedule=lambda run, name: replace(schedule, steps=steps),
    )
    training.perform(run, system)
    test = real_slices(run.prepared, run.split.test)
    find = compiled(system.synthesize)
    found = infer(find, {"images": test.images}, run.config.training.batch_size)["labels"]
    return label_scores(test, found[..., 0], voxel_size(run.config.training.slicing))


def _batches(run: Run, training: Training, seed: int) -> Any:
    augmentation = run.config.training.augmentation
    return run.pipeline(training, maps=None, augmentation=augmentation, seed=seed)


def with_made_slices(run: Run, source: Run, share: float, path: Path) -> Run:
    """Returns the table's run with made slices, as if of one more training patient.

    Args:
        run: of the table.
        source: the finished run of a method.
        share: how many made slices for each real training slice.
        path: their file, written where it is missing.
    """
    prepared, split = run.prepared, run.split
    count = round(share * number_of_slices(prepared, split.train))
    if not path.exists():
        seed = derive_seed(run.config.training.seed, "changed labels")
        write_records(path, made_records(source, count, len(prepared.subject_ids), seed))
    return run.changed(
        prepared=_with_subject(prepared, MADE, path, count),
        split=replace(split, train=(*split.train, MADE)),
    )


MADE = "made slices"


def _with_subject(prepared: PreparedSlices, name: str, path: Path, count: int) -> PreparedSlices:
    return replace(
        prepared,
        subject_ids=(*prepared.subject_ids, name),
        files=(*prepared.files, path),
        slices_per_subject=(*prepared.slices_per_subject, count),
        lesions_per_subject=(*prepared.lesions_per_subject, count),
        places=(*prepared.places, prepared.places[0]),
    )


def made_records(source: Run, count: int, subject: int, seed: int) -> Iterator[Record]:
    """Yields slices that a generator makes of changed labels of its training patients.

    Each is of a random slice; donors are the slices of other patients at its height.

    Args:
        source: the finished run of a method.
        count: number of slices.
        subject: number of the patient that they count as.
        seed: of slices and changes.
    """
    slices = real_slices(source.prepared, source.split.train)
    first, size = source.prepared.dataset.first_lesion, source.config.batch_size
    for start in range(0, count, size):
        numbers = range(start, min(start + size, count))
        rngs = [np.random.default_rng((seed, number)) for number in numbers]
        pairs = [changed_label(slices, first, rng) for rng in rngs]
        labels = np.stack([label for label, _ in pairs])
        index = np.array([height for _, height in pairs])
        images = made_from(source, Slices(np.zeros((*labels.shape, 0)), labels, index=index))
        for number, image, label in zip(numbers, images, labels):
            yield np.clip(image, 0, 1), label.astype(np.uint8), (subject, number)


def changed_label(
    slices: Slices, first_lesion: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Returns a random slice's label [H,W] with a changed lesion, and its height.

    A slice that no lesion fits into is drawn again.
    """
    lesions = (slices.label >= first_lesion).any(axis=(1, 2))
    while True:
        row = int(rng.integers(len(slices)))
        near = lesions & (slices.index == slices.index[row])
        donors = slices.label[near & (slices.subjects != slices.subjects[row])]
        try:
            change = random_change(slices.label[row], list(donors), rng)
        except UserError:  # no lesion, and no donor whose lesion lies in this brain
            continue
        return change.label, int(slices.index[row])


def label_scores(test: Slices, found: np.ndarray, spacing: Sequence[float]) -> pd.DataFrame:
    """Returns `FIGURES` of each held-out patient's volume and lesion label.

    Two empty masks have no Dice and no HD95; a single empty one has the Dice 0 and no HD95.

    Args:
        test: slices with label, subjects and index.
        found: labels [N,H,W] of the segmenter.
        spacing: mm between voxels along D, H and W.
    """
    lines, first = [], BRATS_WITH_BRAIN.first_lesion
    for volume in patient_volumes(test, test.label, found):
        for value, name in enumerate(LESIONS, start=first):
            truth, guess = (array == value for array in volume.values)
            line = {
                "dice": float(dice(guess[None], truth[None])[0]),
                "hd95": hausdorff95(guess, truth, spacing) if truth.any() else np.nan,
                "sensitivity": guess[truth].mean() if truth.any() else np.nan,
                "specificity": 1 - guess[~truth].mean(),
            }
            lines.append({"patient": volume.subject, "label": name, **line})
    return pd.DataFrame(lines)


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for unknown experiments, or batches that the replicas cannot share."""
    chosen_rows(request.config.experiments)
    training = request.config.training
    check_batch_sizes("--training.schedule", training.schedule, TRAININGS, strategy)


TABLE2_SAMR = Experiment(
    "experiments/table2_samr.py",
    "SAMR Table 2: lesion segmentation with slices made of changed labels, beside real alone.",
    TABLE2_PRESETS,
    stages=(Task("table", write),),
    sources=Variants(TRAIN_SAMR, OPTION, needed_methods),
    check=check,
    outline=lambda request: f"rows: {', '.join(chosen_rows(request.config.experiments))}",
    options=(OPTION,),
    table=TABLE,
)

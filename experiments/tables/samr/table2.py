"""SAMR Table 2: do slices made of changed labels help a segmenter?

Each method's generator learns from the training patients. Their labels are then changed at random
(`data.manipulation.random_change`), the generator draws slices of them, and a segmenter learns from
the real slices and from these. All segmenters start alike and are scored on the held-out patients.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import tensorflow as tf

from data.brats.slices import voxel_size
from data.contract import DataSet
from data.pipeline import number_of_slices
from data.slice_sets import Slices, patient_volumes, real_slices
from experiments.configs.samr import TABLE2_PRESETS, TRAININGS, SAMRRunConfig, SAMRTable2Config
from experiments.engine.experiment import Experiment, Option, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Variants
from experiments.systems.samr.pictures import draw_labels
from experiments.systems.samr.stages import KEYS, TRAIN_SAMR
from experiments.tables.patients import differences, patients_file, read_patients, write_patients
from experiments.tables.samr.made import with_made_slices
from experiments.tables.samr.rows import MEASURED, REAL, TABLE, chosen_rows, row_key
from models.samr.config import METHODS
from models.samr.segmenter import LabelNet
from utils.config import with_values
from utils.inference import compiled, infer
from utils.metrics.volumes import mask_scores
from utils.reporting.tables import markdown_table
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_sizes

ANALYSIS = ("experiments", "rivals", "resamples")  # on which no row's result depends
OPTION = Option(
    "methods",
    Optional[Path],
    None,
    "folder with a run of train_samr.py per method; made where missing (default: OUT/methods)",
)


def method_configs(config: SAMRTable2Config) -> dict[str, SAMRRunConfig]:
    """Returns the configuration of each method's run."""
    sizes = {
        "pix2pix": {"width": config.rival_width},
        "pix2pixhd": {"width": config.rival_width, "down_samplings": config.rival_halvings},
        "shin": {"width": config.rival_width},
    }
    training = config.training
    return {
        name: replace(training, samr=with_values(training.samr, {**changes, **sizes.get(name, {})}))
        for name, changes in METHODS.items()
    }


def needed_methods(config: SAMRTable2Config) -> dict[str, SAMRRunConfig]:
    """Returns the configurations of the runs that the experiments need; SAMR gives the data."""
    rows = _rows(config)
    methods = {"samr", *(method for method, _ in rows.values())}
    return {name: run for name, run in method_configs(config).items() if name in methods}


def _rows(config: SAMRTable2Config) -> dict[str, tuple[str, float]]:
    return chosen_rows(config.experiments, config.rivals)


def write(run: Run) -> None:
    """Writes table2_samr.{csv,md}, patients.csv and the keys `table2_samr/...` of metrics.json."""
    rows = _rows(run.config)
    settings = {key: v for key, v in asdict(run.config).items() if key not in ANALYSIS}
    lesions = lesion_names(run.prepared.dataset)
    table = replace(TABLE, parts=lesions)

    def measure(row: str) -> dict[str, float]:
        scores = score_row(run, *rows[row])
        write_patients(run, row, scores)
        figures = scores.groupby("label")[list(MEASURED)].mean()
        found = {f"{label}/{key}": figures.loc[label, key] for label in lesions for key in MEASURED}
        return {**found, **figures.mean().to_dict()}

    table.measure(run, measure, settings, rows)
    table.write(
        run,
        ("One training of each segmenter, on one device.",),
        ["## Differences to the real slices alone", markdown_table(differences_to_real(run))],
    )


def differences_to_real(run: Run) -> pd.DataFrame:
    """Returns what each row adds to real slices alone: Dice, mean over the labels of a patient."""
    rows = [row.key for row in TABLE.rows if patients_file(run, row.key).exists()]
    found = [read_patients(run, row, "dice") for row in rows]
    results = pd.concat(found).groupby(["no", "patient"], as_index=False)["dice"].mean()
    config, references = run.config, dict.fromkeys(rows, REAL)
    return differences(results, TABLE, references, config.resamples, config.training.seed)


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
    spacing = voxel_size(run.config.training.slicing)
    return label_scores(test, found[..., 0], spacing, data)


def _batches(run: Run, training: Training, seed: int) -> Any:
    augmentation = run.config.training.augmentation
    return run.pipeline(training, maps=None, augmentation=augmentation, seed=seed)


def lesion_names(dataset: DataSet) -> tuple[str, ...]:
    """Returns the names of a data set's lesion labels."""
    return dataset.classes[dataset.first_lesion :]


def label_scores(
    test: Slices, found: np.ndarray, spacing: Sequence[float], dataset: DataSet
) -> pd.DataFrame:
    """Returns `MEASURED` of each held-out patient's volume and lesion label.

    Args:
        test: slices with label, subjects and index.
        found: labels [N,H,W] of the segmenter.
        spacing: mm between voxels along D, H and W.
        dataset: whose lesion labels are scored.
    """
    lines = []
    for volume in patient_volumes(test, test.label, found):
        for value, name in enumerate(lesion_names(dataset), start=dataset.first_lesion):
            truth, guess = (array == value for array in volume.values)
            line = mask_scores(guess, truth, spacing)
            lines.append({"patient": volume.subject, "label": name, **line})
    return pd.DataFrame(lines)


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Checks the experiments and the methods that they need.

    Raises UserError for unknown experiments or rivals, sizes that a network cannot halve, or
    batches that replicas cannot share.
    """
    for method in needed_methods(request.config).values():
        method.check_sizes()
    training = request.config.training
    check_batch_sizes("--training.schedule", training.schedule, TRAININGS, strategy)


TABLE2_SAMR = Experiment(
    "experiments/table2_samr.py",
    "SAMR Table 2: lesion segmentation with slices made of changed labels, beside real alone.",
    TABLE2_PRESETS,
    stages=(Task("table", write),),
    sources=Variants(TRAIN_SAMR, OPTION, needed_methods),
    check=check,
    outline=lambda request: f"rows: {', '.join(_rows(request.config))}",
    options=(OPTION,),
    table=TABLE,
)

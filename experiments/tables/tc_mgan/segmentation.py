"""TC-MGAN Table 2: segmentation with translated modalities beside T2 alone and all real ones.

One U-Net per row learns from the patients of the part "train", whose three other modalities are
real or translated by that row's generator, and is scored on the part "test" with the same kind of
input; the generators have seen the patients of neither. All U-Nets start alike (section 3.4).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data.shards import PreparedSlices, serialize_record
from data.slice_sets import Slices, real_slices
from experiments.configs.tc_mgan import TABLE2_PRESETS, TRAININGS
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Variants
from experiments.engine.table import Metric, Row, Table
from experiments.systems.tc_mgan.evaluation import translate_subjects
from experiments.systems.tc_mgan.pictures import draw_lesions
from experiments.systems.tc_mgan.stages import KEYS, TRAIN_TC_MGAN
from experiments.tables.tc_mgan.variants import OPTION, TITLES, check_variant, variant_configs
from models.tc_mgan.modalities import replace_targets
from models.tc_mgan.segmenter import Segmenter
from utils.inference import compiled, infer
from utils.metrics.segmentation import dice
from utils.reporting.charts import bar_panels, save_figure
from utils.runs.files import replacing
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_sizes

ONLY_T2, ALL_REAL = "only_t2", "real"
SMOOTHING = 1.0  # the paper's (2I + 1) / (A + B + 1)


def _row(key: str, title: str, dice_mean: float, spread: float) -> Row:
    paper = {"dice": dice_mean, "dice_std": spread}
    return Row(key, title, paper, f"TC-MGAN Table 2, {title}")


def findings(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns in words whether the paper's order holds."""
    alone, ours, real = (
        table.value(figures, row, "dice") for row in (ONLY_T2, "tc_mgan", ALL_REAL)
    )
    holds = "holds" if alone <= ours <= real else "does not hold"
    return [
        f"The order only T2 <= T2 + TC-MGAN <= four real modalities {holds}: {alone:.3f}, "
        f"{ours:.3f}, {real:.3f}.",
        f"TC-MGAN closes {(ours - alone) / (real - alone):.0%} of the gap between T2 alone and all "
        "real modalities (paper: 25%)."
        if real > alone
        else "All real modalities are no better than T2 alone: there is no gap to close.",
    ]


# Mean and standard deviation over slices; the names of the paper's rows are inferred.
TABLE = Table(
    "table2_tc_mgan",
    "TC-MGAN, Table 2: segmentation with translated modalities",
    rows=(
        _row(ONLY_T2, "only T2", 0.7404, 0.3600),
        _row("pix2pix", f"T2 + {TITLES['pix2pix']}", 0.7381, 0.3611),
        _row("mgan", f"T2 + {TITLES['mgan']}", 0.7440, 0.3588),
        _row("tc_mgan", f"T2 + {TITLES['tc_mgan']}", 0.7585, 0.3519),
        _row("tc_mgan_bw", f"T2 + {TITLES['tc_mgan_bw']}", 0.7579, 0.3513),
        _row(ALL_REAL, "four real modalities", 0.8142, 0.3003),
    ),
    metrics=(
        Metric(
            "dice",
            "Dice (2I + 1) / (A + B + 1) of the whole tumour per slice, probabilities cut at 0.5; "
            "1 where both masks are empty; mean ± standard deviation over all slices of the "
            "held-out patients",
            1,
            "whole-tumour Dice, mean over held-out slices (1 is perfect)",
            spread="dice_std",
        ),
        Metric("slices", "number of held-out slices", whole=True),
    ),
    paper_note="The paper's numbers are of BraTS 2018, with row names inferred from its text; "
    "differences are ours - paper.",
    ledger={"Dice": "dice", "standard deviation": "dice_std"},
    claims=findings,
)
TITLE = {row.key: row.title for row in TABLE.rows}


def write(run: Run) -> None:
    """Writes table2_tc_mgan.{csv,md,png} and the keys `table2_tc_mgan/...` of metrics.json."""

    def measure(row: str) -> dict[str, float]:
        scores = score_row(run, row)
        shutil.rmtree(_folder(run, row), ignore_errors=True)  # gigabytes
        return {"dice": scores.mean(), "dice_std": scores.std(), "slices": len(scores)}

    TABLE.measure(run, measure, asdict(run.config))
    TABLE.write(run, ("One training of each U-Net, on one device.",))
    bars = TABLE.bars(run.read_metrics(), "rows")
    chart = bar_panels(*bars, note=f"this run: {run.data_note}")
    save_figure(chart, run.path / "table2_tc_mgan.png")


def _folder(run: Run, row: str) -> Path:
    return run.path / "translated" / row


def score_row(run: Run, row: str) -> np.ndarray:
    """Trains a row's U-Net and returns its Dice of each held-out slice [N]."""
    if row in run.sources:
        run = run.changed(prepared=translated_slices(run.sources[row], _folder(run, row)))
    with run.strategy.scope():
        tf.keras.utils.set_random_seed(_seed(run))
        system = Segmenter(run.config.unet, "source" if row == ONLY_T2 else "four_channel")
    training = Training(
        row,
        build=lambda run: system,
        batches=unet_batches,
        draw=draw_lesions,
        keys=KEYS,
        learning_rate="--unet.learning_rate",
        batch_size="--schedule.batch_size",
        schedule=lambda run, name: run.config.schedule,
    )
    training.perform(run, system)
    find, test = compiled(system.synthesize), real_slices(run.prepared, run.split.test)
    batch = {"images": test.images, "label": test.label[..., None]}
    found = infer(find, batch, run.config.training.batch_size)["labels"]
    return dice(found[..., 0], test.label > 0, SMOOTHING)


def unet_batches(run: Run, training: Training) -> Any:
    """Returns the function that builds the `tf.data` pipeline of a U-Net.

    All U-Nets see the slices in the same order.
    """
    config = run.config.training
    # Half of the slices have no tumour, and soft Dice rewards an empty answer on them.
    repeats = {"enhancing": config.enhancing_repeats}
    moves = {"augmentation": config.augmentation, "repeats": repeats}
    return run.pipeline(training, maps=None, seed=_seed(run), **moves)


def _seed(run: Run) -> int:
    return derive_seed(run.config.training.seed, "unet")


def translated_slices(source: Run, folder: Path) -> PreparedSlices:
    """Returns the prepared slices with translations in the place of all modalities but T2.

    Those of the parts train and test are written to `folder`, a file per patient, where they are
    missing; the patients that the generator learned from stay as they are.

    Args:
        source: a finished run of a variant.
        folder: for this run's files.
    """
    prepared = source.prepared
    wanted = {*source.split.train, *source.split.test}
    files = {
        subject: folder / path.name if subject in wanted else path
        for subject, path in zip(prepared.subject_ids, prepared.files)
    }
    missing = [subject for subject, file in files.items() if not file.exists()]
    for subject, (slices, translated) in zip(missing, translate_subjects(source, missing)):
        _write(files[subject], slices, translated)
    return replace(prepared, directory=folder, files=tuple(files.values()))


def _write(path: Path, slices: Slices, translated: np.ndarray) -> None:
    images = replace_targets(slices.images, translated).numpy()
    with replacing(path) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            rows = zip(images, slices.label.astype(np.uint8), slices.subjects, slices.index)
            for image, label, subject, index in rows:
                writer.write(serialize_record(image, label, (subject, index)))


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for a chosen variant, or batches that the replicas cannot share."""
    training = request.config.training
    check_variant("training.gan.variant", training)
    check_batch_sizes("--training.schedule", training.schedule, TRAININGS, strategy)


TABLE2_TC_MGAN = Experiment(
    "experiments/table2_tc_mgan.py",
    "TC-MGAN Table 2: lesion segmentation with translated modalities beside T2 alone and all "
    "real. The U-Nets train on one device, only the variants on --devices.",
    TABLE2_PRESETS,
    stages=(Task("table", write),),
    sources=Variants(TRAIN_TC_MGAN, OPTION, lambda config: variant_configs(config.training)),
    check=check,
    outline=lambda request: f"rows: {', '.join(TITLE.values())}",
    options=(OPTION,),
    table=TABLE,
)

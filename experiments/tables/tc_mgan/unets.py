"""The evaluation U-Nets of Table 2: one per kind of input, scored on held-out slices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.pipeline import evaluation_batches, number_of_slices
from data.shards import PreparedSlices, serialize_record
from experiments.configs.tc_mgan import Table2Config
from experiments.engine.fitting import fit
from experiments.systems.tc_mgan.context import TranslationContext
from experiments.systems.tc_mgan.evaluation import Translations, translate_subjects
from experiments.systems.tc_mgan.training import draw_lesions
from models.tc_mgan.modalities import replace_targets
from models.tc_mgan.segmenter import Inputs, Segmenter
from utils.metrics.segmentation import dice
from utils.runs.files import replacing
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.faults import Hints

SMOOTHING = 1.0  # the paper's (2I + 1) / (A + B + 1)


def translated_slices(context: TranslationContext, folder: Path) -> PreparedSlices:
    """Returns the prepared slices with translations in the place of all modalities but T2.

    Those of the parts train and test are written to `folder`, a file per patient, where they are
    missing; the patients that the generator learned from stay as they are.

    Args:
        context: a finished run.
        folder: for this run's files.
    """
    prepared = context.prepared
    wanted = {*context.split.train, *context.split.test}
    files = {
        subject: folder / path.name if subject in wanted else path
        for subject, path in zip(prepared.subject_ids, prepared.files)
    }
    missing = [subject for subject, file in files.items() if not file.exists()]
    for subject, slices in zip(missing, translate_subjects(context, missing)):
        _write(files[subject], slices)
    return replace(prepared, directory=folder, files=tuple(files.values()))


def _write(path: Path, slices: Translations) -> None:
    images = replace_targets(slices.real, slices.translated).numpy()
    with replacing(path) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for image, label, source in zip(images, slices.label.astype(np.uint8), slices.source):
                writer.write(serialize_record(image, label, tuple(source)))


def judge(
    context: TranslationContext,
    run: RunDirectory,
    config: Table2Config,
    name: str,
    inputs: Inputs,
    prepared: PreparedSlices,
) -> np.ndarray:
    """Trains a U-Net on the patients of "train" and returns its Dice of each slice [N] of "test".

    Dice is (2I + 1) / (A + B + 1) of the whole tumour: 1 for two empty masks.

    Args:
        context: any variant's run, for split and strategy.
        run: where the U-Net's checkpoint goes.
        config: of the table.
        name: of the U-Net, its training and its seeds.
        inputs: "source" for T2 alone, or "four_channel".
        prepared: real or translated slices.
    """
    seed = derive_seed(config.training.seed, "unet")  # the same start and order for all
    with context.strategy.scope():
        tf.keras.utils.set_random_seed(seed)
        system = Segmenter(config.unet, inputs)
    slices = number_of_slices(prepared, context.split.train)
    schedule = replace(config.schedule, steps=config.schedule.total_steps(slices))
    arguments = {
        "prepared": prepared,
        "subject_ids": context.split.train,
        "maps": None,
        "seed": seed,
        "augmentation": config.training.augmentation,
        # Half of the slices have no tumour, and soft Dice rewards an empty answer on them.
        "repeats": {"enhancing": config.training.enhancing_repeats},
    }
    hints = Hints("--unet.learning_rate", "--schedule.batch_size", prepared.size)
    fit(system, name, schedule, context, run, draw_lesions, arguments, hints)
    find = tf.function(system.synthesize, autograph=False, reduce_retracing=True)
    scores = []
    for batch in evaluation_batches(prepared, context.split.test, config.training.batch_size):
        found = find({"images": batch["images"], "label": batch["label"]})["labels"].numpy()
        scores.append(dice(found[..., 0], batch["label"].numpy()[..., 0] > 0, SMOOTHING))
    return np.concatenate(scores)

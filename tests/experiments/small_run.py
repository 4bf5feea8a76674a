"""Runs of the main system on two tiny cases, which train nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.slices import SliceConfig
from data.shards import parse_record
from experiments.configs.brats import TINY as PRESET
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.data.trees import write_tree

SHAPE = (6, 26, 20)
SLICING = SliceConfig(slices=(1, 5), rows=(1, 25), columns=(2, 18), frame=SHAPE)
CONFIG = replace(PRESET, slicing=SLICING)


def run_on(folder: Path, layout: str = "flat2015", config=CONFIG, writes: bool = True) -> Run:
    """A run on two tiny cases in one layout, with a run directory and a cache of its own."""
    data = folder / layout
    if not data.exists():
        write_tree(data, layout, shape=SHAPE)
    places = {"data": data, "cache": folder / "cache" / layout}
    request = Request(folder / "run" / layout, config, **places)
    return Run(TRAIN_BRATS, request, tf.distribute.get_strategy(), writes).open_data()


def records(run: Run) -> list[dict]:
    size = run.prepared.size
    files = tf.data.TFRecordDataset([str(path) for path in run.prepared.files])
    return list(files.map(lambda record: parse_record(record, BRATS, size)).as_numpy_iterator())


def in_folder(run: Run, path: Path) -> Run:
    """The same data in another run directory."""
    request = replace(run.request, out=path)
    return Run(TRAIN_BRATS, request, run.strategy).on_data_of(run)

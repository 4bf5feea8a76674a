"""Samples of a synthetic set as records, from which training reads them like real slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from data.pipeline import RecordFile
from data.shards import serialize_record
from data.synthetic_sets.files import read_rows, read_sample
from utils.runs.files import replacing

Record = tuple[np.ndarray, np.ndarray, tuple[int, int]]
SHARD = 50  # slices per file, as many as a patient has


def selected_samples(directory: Path) -> pd.DataFrame:
    """Returns the rows of samples.csv that are marked as selected, in order."""
    table = read_rows(directory)
    return table[table["selected"]]


def record_files(directory: Path, count: int, subject: int) -> list[RecordFile]:
    """Returns files with the first `count` selected samples, written where they are missing.

    A sample's `source` is (subject, number of the sample).

    Args:
        directory: the set, with at least `count` selected samples.
        count: number of samples.
        subject: index that no real patient has.
    """
    samples, files = selected_samples(directory), []
    for start in range(0, count, SHARD):
        rows = samples.iloc[start : min(start + SHARD, count)]
        path = directory / "records" / f"{start:06d}_{len(rows)}.tfrecord"
        if not path.exists():
            write_records(path, _samples(directory, rows, subject))
        files.append(RecordFile(path, np.ones(len(rows), bool)))
    return files


def _samples(directory: Path, rows: pd.DataFrame, subject: int) -> Iterator[Record]:
    for number, file in zip(rows["sample"], rows["file"]):
        arrays = read_sample(directory / file)
        yield np.clip(arrays["images"], 0, 1), arrays["label"], (subject, int(number))


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Writes (images, label, source) of slices, see `serialize_record`; the file appears whole."""
    with replacing(path) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in records:
                writer.write(serialize_record(*record))

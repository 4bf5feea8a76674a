"""Selected samples of a synthetic set as records."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.brats.dataset import BRATS
from data.shards import parse_record
from data.synthetic_sets.records import record_files
from tests.data.sets import write_set


def test_selected_samples_become_records_once(tmp_path):
    write_set(tmp_path, [i % 2 == 0 for i in range(120)])
    files = record_files(tmp_path, 60, subject=4)
    assert [len(file.keep) for file in files] == [50, 10]
    written = {file.path: file.path.stat().st_mtime_ns for file in files}
    records = tf.data.TFRecordDataset([str(file.path) for file in files])
    parsed = list(records.map(lambda r: parse_record(r, BRATS, (8, 8))).as_numpy_iterator())
    assert [record["source"].tolist() for record in parsed] == [[4, 2 * i] for i in range(60)]
    np.testing.assert_allclose(parsed[9]["images"], 0.18, atol=1e-5)
    assert (parsed[9]["label"] == 18 % 5).all()
    again = record_files(tmp_path, 55, subject=4)
    assert again[0].path.stat().st_mtime_ns == written[again[0].path]
    assert [len(file.keep) for file in again] == [50, 5]

"""Selected samples of a synthetic set as records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import tensorflow as tf

from data.brats.dataset import BRATS
from data.shards import parse_record
from data.synthetic_sets.records import record_files
from utils.runs.files import write_text


def test_selected_samples_become_records_once(tmp_path):
    numbers = range(120)
    for i in numbers:
        images = np.full((8, 8, 4), i / 100, np.float32)
        np.savez(tmp_path / f"{i}.npz", images=images, label=np.full((8, 8), i % 5, np.uint8))
    table = pd.DataFrame({"sample": numbers, "file": [f"{i}.npz" for i in numbers]})
    table["selected"] = table["sample"] % 2 == 0
    write_text(tmp_path / "samples.csv", table.to_csv(index=False))
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

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
import tensorflow as tf

from data import shards
from data.brats.dataset import BRATS, prepare_case
from data.brats.preparation import prepare_subject
from data.brats.slices import SliceConfig
from data.contract import CaseSlices, DataSet
from data.shards import PreparedSlices, parse_record, prepare_shards
from tests.data.trees import TINY, case_files, tiny_case, write_case, write_tree
from utils.errors import UserError
from utils.runs.environment import REPOSITORY


@pytest.fixture
def cases(tmp_path):
    return BRATS.find(write_tree(tmp_path / "data", "flat2015", count=2), TINY)


def prepare(cases, tmp_path, config: SliceConfig = TINY, dataset: DataSet = BRATS):
    return prepare_shards(dataset, cases, config, tmp_path / "cache", progress=False)


def read(prepared: PreparedSlices, number: int) -> list[dict]:
    records = tf.data.TFRecordDataset(str(prepared.files[number]))
    parsed = records.map(lambda record: parse_record(record, BRATS, prepared.size))
    assert parsed.element_spec == {
        "images": tf.TensorSpec((*prepared.size, 4), tf.float32),
        "label": tf.TensorSpec((*prepared.size, 1), tf.int32),
        "source": tf.TensorSpec((2,), tf.int32),
    }
    return list(parsed.as_numpy_iterator())


def test_each_shard_holds_the_slices_of_its_subject(cases, tmp_path):
    config = replace(TINY, columns=(1, 7))  # not square: a swapped height and width would show
    prepared = prepare(cases, tmp_path, config)
    assert prepared.subject_ids == ("brats_2013_pat0001_1", "brats_2013_pat0002_1")
    assert prepared.slices_per_subject == (4, 4) and prepared.size == (8, 6)
    for number, case in enumerate(cases):
        images, label, *_ = prepare_subject(case.subject(), config, "brats2015")
        records = read(prepared, number)
        stored = np.stack([record["images"] for record in records])
        np.testing.assert_allclose(stored, images, atol=0.5 / 65535 + 1e-7)
        assert stored.min() >= 0.0 and stored.max() <= 1.0
        np.testing.assert_array_equal([record["label"] for record in records], label[..., None])
        assert [record["source"].tolist() for record in records] == [
            [number, axial] for axial in (1, 2, 3, 4)
        ]


def test_a_second_call_reads_no_volume(cases, tmp_path):
    first, blind = prepare(cases, tmp_path), replace(BRATS, prepare=None)
    assert prepare(cases, tmp_path, dataset=blind) == replace(first, dataset=blind)
    assert prepare(cases, tmp_path) == first == PreparedSlices.open(BRATS, first.directory)


def test_a_moved_data_set_and_a_scheme_by_hand_keep_the_cache(cases, tmp_path):
    first = prepare(cases, tmp_path)
    by_hand = prepare(cases, tmp_path, replace(TINY, label_scheme="brats2015"))
    shutil.move(tmp_path / "data", tmp_path / "moved")
    moved = prepare(BRATS.find(tmp_path / "moved", TINY), tmp_path)
    assert by_hand.directory == moved.directory == first.directory


def test_other_settings_or_sources_get_another_directory(cases, tmp_path, monkeypatch):
    made = [prepare(cases, tmp_path).directory]
    made.append(prepare(cases, tmp_path, replace(TINY, slices=(0, 4))).directory)
    made.append(prepare(cases[:1], tmp_path).directory)
    made.append(prepare(cases, tmp_path, dataset=replace(BRATS, name="other")).directory)
    (label,) = cases[0].files["label"]
    os.utime(label, ns=(0, label.stat().st_mtime_ns + 1))
    made.append(prepare(cases, tmp_path).directory)
    monkeypatch.setattr(shards, "FORMAT_VERSION", -1)
    made.append(prepare(cases, tmp_path).directory)
    assert len(set(made)) == 6


def test_slices_without_enough_brain_are_left_out_under_their_own_numbers(tmp_path):
    case = tiny_case()
    for array in case.images.values():
        array += 1
    case.images["Flair"][2, 2:10, 1:9] = 0
    write_case(case_files(tmp_path / "data", "flat2015"), case)
    config = replace(TINY, min_brain_pixels=10)
    prepared = prepare(BRATS.find(tmp_path / "data", TINY), tmp_path, config)
    assert [record["source"].tolist() for record in read(prepared, 0)] == [[0, 1], [0, 3], [0, 4]]
    index = json.loads((prepared.directory / "index.json").read_text())
    assert index["subjects"][0]["empty_slices_skipped"] == 1


def prepare_dark(tmp_path, **lit) -> PreparedSlices:
    """One case without signal in the whole range, up to some voxels of a modality."""
    case = tiny_case()
    for array in case.images.values():
        array[1:5] = 0
    for name, slices in lit.items():
        case.images[name][slices, 5, 5] = 1
    write_case(case_files(tmp_path / "data", "flat2015"), case)
    return prepare(BRATS.find(tmp_path / "data", TINY), tmp_path)


def test_empty_slices_are_skipped_and_counted(tmp_path):
    prepared = prepare_dark(tmp_path, Flair=[1, 3], T1=[4])  # one voxel is signal
    assert [int(record["source"][1]) for record in read(prepared, 0)] == [1, 3, 4]
    assert prepared.slices_per_subject == (3,)
    index = json.loads((prepared.directory / "index.json").read_text())
    assert index["subjects"][0]["empty_slices_skipped"] == 1


def test_a_case_without_any_signal_in_the_range_is_named(tmp_path):
    with pytest.raises(UserError, match="brats_2013_pat0001_1 has no signal"):
        prepare_dark(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.zeros((2, 8, 8, 3), np.float32)},
        {"images": np.zeros((2, 9, 8, 4), np.float32)},
        {"images": np.full((2, 8, 8, 4), 255, np.float32)},
        {"images": np.full((2, 8, 8, 4), np.nan, np.float32)},
        {"label": None},
        {"label": np.zeros((2, 8, 8), np.int32)},
        {"label": np.full((2, 8, 8), 5, np.uint8)},
        {"index": np.arange(3)},
    ],
)
def test_slices_that_are_not_as_described_are_refused(cases, tmp_path, change):
    images, label = np.zeros((2, 8, 8, 4), np.float32), np.zeros((2, 8, 8), np.uint8)
    slices = CaseSlices(images, label, np.arange(2))
    for found in (slices, slices._replace(**change)):
        dataset = replace(BRATS, prepare=lambda *_, found=found: found)
        fault = found is not slices
        with pytest.raises(UserError, match="pat0001_1 must give") if fault else nullcontext():
            prepare(cases, tmp_path / str(fault), dataset=dataset)


def test_a_failure_half_way_leaves_nothing_behind(cases, tmp_path):
    cases[1].files["label"][0].write_text("broken")
    with pytest.raises(UserError, match="damaged"):
        prepare(cases, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("damage", ["index", "half index", "shard", "half shard"])
def test_an_incomplete_directory_is_never_used(cases, tmp_path, damage):
    prepared = prepare(cases, tmp_path)
    name = "index.json" if "index" in damage else prepared.files[1].name
    path = prepared.directory / name
    content = path.read_bytes()
    path.unlink()
    if "half" in damage:
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"{name} is missing or damaged"):
        prepare(cases, tmp_path)


def test_a_byte_that_changed_later_is_found_when_it_is_read(cases, tmp_path):
    prepared = prepare(cases, tmp_path)
    path = prepared.files[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    prepared = prepare(cases, tmp_path)  # its length is right
    with pytest.raises(UserError, match=f"{path.name} is missing or damaged.* delete that"):
        with shards.naming_damaged_slices(prepared):
            assert len(read(prepared, 0)) == 4
            read(prepared, 1)


class Killed(BaseException):
    """Stands for the end of a process: nothing after it takes place."""


def test_what_a_killed_build_left_is_never_read(cases, tmp_path, monkeypatch):
    write = shards._write_shard

    def killed_half_way(folder, number, *arguments):
        if number == 1:
            (folder / "0001_half.tfrecord").write_bytes(b"half")
            raise Killed
        return write(folder, number, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_write_shard", killed_half_way)
        patch.setattr("utils.runs.files._remove", lambda path: None)
        with pytest.raises(Killed):
            prepare(cases, tmp_path)
    (left,) = (tmp_path / "cache").iterdir()
    assert len(list(left.iterdir())) == 2 and left.name.startswith(".")
    prepared = prepare(cases, tmp_path)
    assert {path.parent for path in prepared.files} == {prepared.directory}
    assert prepared.directory != left and [len(read(prepared, i)) for i in (0, 1)] == [4, 4]


KILLED_HALF_WAY = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from data import shards
from data.brats.dataset import BRATS
from tests.data.trees import TINY
write = shards._write_shard
def killed(folder, number, *arguments):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(folder, number, *arguments)
shards._write_shard = killed
data, cache = map(Path, sys.argv[1:])
shards.prepare_shards(BRATS, BRATS.find(data, TINY), TINY, cache, progress=False)
"""


def test_kill_9_half_way_is_made_good_by_the_next_build(cases, tmp_path):
    command = [sys.executable, "-c", KILLED_HALF_WAY, tmp_path / "data", tmp_path / "cache"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    (left,) = (tmp_path / "cache").iterdir()
    assert left.name.startswith(".") and len(list(left.iterdir())) == 1
    assert [len(read(prepare(cases, tmp_path), number)) for number in (0, 1)] == [4, 4]


def test_builders_at_the_same_time_agree_on_one_complete_cache(cases, tmp_path):
    barrier = Barrier(2, timeout=30)

    def together(*arguments):
        barrier.wait()  # both are building before either has finished
        return prepare_case(*arguments)

    dataset = replace(BRATS, prepare=together)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: prepare(cases, tmp_path, dataset=dataset), range(2))
    assert first == second
    assert list((tmp_path / "cache").iterdir()) == [first.directory]
    assert len(read(first, 0)) == len(read(first, 1)) == 4


def test_a_cache_that_cannot_be_written_is_named(cases, tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(UserError, match="Cannot write the prepared slices"):
        prepare(cases, tmp_path)


def test_progress_goes_to_stderr(cases, tmp_path, capsys):
    prepare_shards(BRATS, cases, TINY, tmp_path / "cache")
    output = capsys.readouterr()
    assert output.out == ""
    assert "Preparing slices" in output.err and "2/2" in output.err

"""Shards of a synthetic set: whose samples are whose, and that together they are the whole set."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.synthetic_sets.files import (
    ARRAYS,
    WHOLE,
    Background,
    Shard,
    array_path,
    holding,
    read_rows,
    read_synthetic_set,
    samples_there,
)
from tests.data.sets import write_set
from tests.data.synthetic_sets.test_building import CONFIG, build
from utils.errors import UserError
from utils.runs.files import read_json, write_json, write_text

SET = replace(CONFIG, samples=7, batch_size=3)
LEFTOVER = f".{'0' * 32}-"


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def whole(tmp_path) -> dict[str, bytes]:
    build(tmp_path / "whole", SET)
    return files(tmp_path / "whole")


def test_the_numbers_of_a_shard():
    assert [list(Shard(i, 3).numbers(7)) for i in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    assert list(Shard(5, 9).numbers(4)) == [] and list(WHOLE.numbers(3)) == [0, 1, 2]
    shards = [Shard(i, n) for n in range(1, 9) for i in range(n)]
    for one in shards:
        assert one.owns(array_path(Path(), 12).name) == (12 in one.numbers(100))
        for other in shards:
            shared = set(one.numbers(100)) & set(other.numbers(100))
            assert one.overlaps(other) == bool(shared), (one, other)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_shards_in_one_folder_make_the_whole_set(tmp_path, whole, count):
    out = tmp_path / "out"
    for index in reversed(range(count)):
        assert not (out / "manifest.json").exists()
        counts = build(out, SET, shard=Shard(index, count))
        assert (counts is None) == (index > 0)
        assert {n for i in range(index, count) for n in Shard(i, count).numbers(7)} == (
            samples_there(out)
        )
    assert files(out) == whole


def test_folders_copied_together_are_finished_by_any_shard(tmp_path, whole):
    for index in range(2):
        assert build(tmp_path / f"{index}", SET, shard=Shard(index, 2)) is None
    shutil.copytree(tmp_path / "0" / "samples", tmp_path / "1" / "samples", dirs_exist_ok=True)
    build(tmp_path / "1", SET, decode=pytest.fail, shard=Shard(0, 2))
    assert files(tmp_path / "1") == whole


def test_a_sample_without_one_of_its_files_is_drawn_again(tmp_path, whole):
    out = tmp_path / "whole"
    array_path(out, 2).unlink()
    array_path(out, 4).with_suffix(".json").unlink()
    assert samples_there(out) == {0, 1, 3, 5, 6}
    assert build(out, SET, shard=Shard(0, 4)) is None
    assert samples_there(out) == {0, 1, 3, 4, 5, 6}
    build(out, SET, shard=Shard(2, 4))
    assert files(out) == whole


def test_a_shard_is_drawn_by_one_process_and_others_at_the_same_time(tmp_path):
    with holding(tmp_path, Shard(0, 2)), holding(tmp_path, Shard(1, 4)):
        for other in (Shard(0, 2), WHOLE, Shard(2, 4), Shard(0, 3), Shard(1, 2)):
            with pytest.raises(UserError, match="is in use by process"), holding(tmp_path, other):
                pass
        assert sorted(files(tmp_path)) == ["lock-0-of-2.json", "lock-1-of-4.json"]
        with holding(tmp_path, Shard(3, 4)):
            pass
    assert files(tmp_path) == {}


def test_what_killed_processes_left_of_other_shards_stays_while_these_may_run(tmp_path):
    names = ["synthetic_000002.npz", "synthetic_000003.npz", "synthetic_000005.json"]
    (tmp_path / "samples").mkdir()
    for name in names:
        (tmp_path / "samples" / f"{LEFTOVER}{name}").touch()
    (tmp_path / "lock-1-of-2.json").touch()
    (tmp_path / "lock-0-of-2.json").touch()
    with holding(tmp_path, Shard(0, 4)):
        assert len(files(tmp_path)) == 3 + 3
    assert sorted(files(tmp_path)) == [
        "lock-1-of-2.json",
        *(f"samples/{LEFTOVER}{name}" for name in names),
    ]
    with holding(tmp_path, Shard(1, 2)):
        assert f"samples/{LEFTOVER}{names[0]}" in files(tmp_path)
    assert sorted(files(tmp_path)) == [f"samples/{LEFTOVER}{names[0]}"]


def test_an_action_runs_beside_the_main_thread_and_its_failure_stops_the_next():
    begun, log = threading.Event(), []

    def slow() -> None:
        assert begun.wait(60)
        log.append("slow")

    with Background() as background:
        background.run(slow)
        log.append("main")
        begun.set()
        background.run(lambda: log.append("next"))
    assert log == ["main", "slow", "next"]
    with pytest.raises(ZeroDivisionError), Background() as background:
        background.run(lambda: 1 / 0)
        background.run(lambda: log.append("never"))
    with pytest.raises(ZeroDivisionError), Background() as background:
        background.run(lambda: 1 / 0)
    assert len(log) == 3


def _hollow(path: Path) -> None:
    np.savez(path, images=np.array([{"no": "array"}], dtype=object))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def _single(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


class _Touching:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickled_object_in_a_sample_is_not_run(tmp_path, whole):
    path, canary = array_path(tmp_path / "whole", 1), tmp_path / "canary"
    np.savez(path, images=np.array([_Touching(canary)], dtype=object))
    with pytest.raises(UserError, match=f"{path} is damaged"):
        list(read_synthetic_set(tmp_path / "whole"))
    assert not canary.exists()


@pytest.mark.parametrize("spoil", [_hollow, _cut, _flip, _single, Path.unlink])
def test_a_sample_that_is_no_archive_of_arrays_is_named(tmp_path, whole, spoil):
    """A pickled object above all, which could run code."""
    path = array_path(tmp_path / "whole", 1)
    spoil(path)
    with pytest.raises(UserError, match=f"{path} is (damaged|missing)"):
        list(read_synthetic_set(tmp_path / "whole"))


def _without_column(folder):
    table = pd.read_csv(folder / "samples.csv")
    table.drop(columns="score").to_csv(folder / "samples.csv", index=False)


def _with(**values):
    def change(folder):
        manifest = read_json(folder / "manifest.json")
        write_json(folder / "manifest.json", {**manifest, **values})

    return change


WHOLE_SAMPLE = {
    name: np.zeros({"images": (8, 8, 4), "boxes": (2, 5)}.get(name, (8, 8)), kind)
    for name, kind in ARRAYS.items()
}
SIZES = {
    **dict.fromkeys(("label", "structure", "outside"), (3, 2)),
    "images": (3, 2, 4),
    "boxes": (2, 5),
}


def _sample(**arrays):
    return lambda folder: np.savez(array_path(folder, 1), **arrays)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda folder: write_text(folder / "manifest.json", "[]"), "manifest.json"),
        (_with(samples=-1), "manifest.json"),
        (_with(samples="3"), "manifest.json"),
        (_with(samples=4), "samples.csv"),
        (_with(rejected=None), "manifest.json"),
        (lambda folder: write_text(folder / "samples.csv", ""), "samples.csv"),
        (lambda folder: write_text(folder / "samples.csv", "sample,score\n"), "samples.csv"),
        (_without_column, "samples.csv"),
        (_sample(images=np.zeros((8, 8, 4), np.float32)), "synthetic_000001.npz"),
        (_sample(**{name: np.zeros((8, 8, 4), np.float32) for name in ARRAYS}), "000001.npz"),
        (_sample(**{name: WHOLE_SAMPLE[name] for name in ("images", "label")}), "000001.npz"),
        (_sample(**{name: WHOLE_SAMPLE[name] for name in list(ARRAYS)[:3]}), "000001.npz"),
        (_sample(**{name: np.zeros(SIZES[name], kind) for name, kind in ARRAYS.items()}), "01.npz"),
    ],
)
def test_a_damaged_set_is_named_by_its_file(tmp_path, spoil, name):
    folder = write_set(tmp_path, [True] * 3)
    assert len(list(read_synthetic_set(folder))) == len(read_rows(folder)) == 3
    spoil(folder)
    with pytest.raises(UserError, match=f"{name} is damaged .*; put back the file that was there"):
        len(read_rows(folder)), list(read_synthetic_set(folder))

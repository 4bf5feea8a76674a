"""The main run behind a table or figure: named, made, or refused."""

from __future__ import annotations

import shutil

import pytest
import tensorflow as tf

from experiments import train_brats
from experiments.configs.brats import PRESETS, TINY
from experiments.launch import Option, Script, default_cache, parse
from experiments.source_run import open_source
from utils.errors import UserError

TABLE = Script(
    "experiments/table0.py",
    "A table.",
    PRESETS,
    ("table",),
    reads_run=True,
    options=(
        Option("rows", str, "all", "rows"),
        Option("no-more", int, 0, "a dash"),
    ),
)


def read(*words):
    return parse([str(word) for word in words], TABLE)


def test_a_named_run_gives_preset_data_and_split(tiny_run, tmp_path):
    launch = read("--run", tiny_run, "--out", tmp_path / "out", "--rows", "1,3", "--no-more", 2)
    assert (launch.preset, launch.source) == ("tiny", tiny_run)
    assert launch.options == {"rows": "1,3", "no_more": 2}
    assert launch.command.endswith("--resume --rows 1,3 --no-more 2")
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    context = open_source(launch, tf.distribute.get_strategy())
    assert context.split.train and context.config.phantom_subjects == 2
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_refused(tiny_run, tmp_path):
    for name in ("config.json", "splits.json"):
        shutil.copy(tiny_run / name, tmp_path)
    with pytest.raises(UserError, match="has not finished structure, .*report; continue it with"):
        open_source(read("--run", tmp_path), tf.distribute.get_strategy())


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"--run needs a run directory; {tmp_path} holds no"):
        read("--run", tmp_path)


def test_a_main_run_is_made_once_and_then_continued(tmp_path, monkeypatch):
    seen = []

    def record(launch, run, strategy):
        seen.append((launch.out, launch.config, launch.stages, launch.resume, run.path))
        raise UserError("stop here")

    monkeypatch.setattr(train_brats, "execute", record)
    launch = read("--preset", "tiny", "--out", tmp_path / "out", "--cache", default_cache())
    with pytest.raises(UserError, match="stop here"):
        open_source(launch, tf.distribute.get_strategy())
    main = tmp_path / "out" / "main"
    assert seen == [(main, TINY, tuple(train_brats.STAGES), False, main)]

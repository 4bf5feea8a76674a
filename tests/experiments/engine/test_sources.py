"""The main run behind a table or figure: named, made, or refused."""

from __future__ import annotations

import dataclasses
import shutil
from types import SimpleNamespace

import pytest
import tensorflow as tf

from experiments import train_brats
from experiments.configs.brats import PRESETS, TINY
from experiments.engine import evidence
from experiments.engine.cli import Option, Script, default_cache, main, parse
from experiments.engine.job import TrainingJob
from experiments.engine.source_run import open_source
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory
from utils.training.signals import Interrupted

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

    monkeypatch.setattr(TrainingJob, "execute", staticmethod(record))
    launch = read("--preset", "tiny", "--out", tmp_path / "out", "--cache", default_cache())
    with pytest.raises(UserError, match="stop here"):
        open_source(launch, tf.distribute.get_strategy())
    main = tmp_path / "out" / "main"
    assert seen == [(main, TINY, tuple(train_brats.JOB.stages), False, main)]


def run(*words) -> int:
    return main(lambda: read(*words), evidence.open_evidence)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Interrupted("structure, step 3")])
def test_a_stop_while_the_main_run_is_made_can_be_resumed(tmp_path, monkeypatch, capsys, stop):
    seen = []

    def train(launch, folder, strategy):
        seen.append((launch.preset, launch.resume, launch.config.seed))
        config = dataclasses.asdict(launch.config)
        start = {"preset": launch.preset, "data": None, "precision": "float32"}
        write_json(folder.config, {**start, "config": config})
        raise stop

    monkeypatch.setattr(TrainingJob, "execute", staticmethod(train))
    out = tmp_path / "out"
    assert run("--preset", "tiny", "--out", out, "--rows", "1,3") == 130
    assert "what is finished is saved; continue with: " in capsys.readouterr().err
    assert read_json(out / "config.json")["options"] == {"rows": "1,3", "no_more": 0}
    assert run("--resume", "--out", out) == 130
    assert seen == [("tiny", False, 0), ("tiny", True, 0)]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), UserError("No data.")])
def test_a_main_run_that_never_began_leaves_nothing(tmp_path, monkeypatch, failure):
    def fail(*arguments):
        raise failure

    monkeypatch.setattr(TrainingJob, "execute", staticmethod(fail))
    assert run("--preset", "tiny", "--out", tmp_path / "out") in (2, 130)
    assert not (tmp_path / "out").exists()


def test_another_main_run_is_refused_and_a_moved_one_continues(tmp_path, monkeypatch, capsys):
    def source(launch, strategy):
        split = SimpleNamespace(save=lambda path: None)
        return SimpleNamespace(run=RunDirectory(launch.source, writes=False), split=split)

    def finished(name, seed):
        config = dataclasses.asdict(dataclasses.replace(TINY, seed=seed))
        start = {"preset": "tiny", "data": None, "precision": "float32", "config": config}
        write_json(tmp_path / name / "config.json", start)
        write_json(tmp_path / name / "splits.json", {"train": ["a"], "test": ["b"]})
        write_json(tmp_path / name / "synthetic" / "manifest.json", {"samples": 8})
        return tmp_path / name

    monkeypatch.setattr(evidence, "open_source", source)
    out = tmp_path / "out"
    assert run("--run", finished("one", 0), "--out", out) == 0
    assert run("--resume", "--out", out, "--run", finished("other", 1)) == 2
    assert "began with another main run than" in capsys.readouterr().err
    moved = (tmp_path / "one").rename(tmp_path / "moved")
    assert run("--resume", "--out", out, "--run", moved) == 0
    assert read_json(out / "config.json")["run"] == str(moved)
    write_json(moved / "synthetic" / "manifest.json", {"samples": 9})
    assert run("--resume", "--out", out) == 2

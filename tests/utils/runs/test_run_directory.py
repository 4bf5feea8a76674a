from __future__ import annotations

import json

import pytest

from utils.errors import UserError
from utils.runs.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path / "a" / "run")


def row(stage: str, step: int) -> dict:
    return {"stage": stage, "step": step, "loss/G": 0.1 * step}


def test_every_path_lies_in_the_directory(run):
    found = {
        name: path.relative_to(run.path).as_posix()
        for name, path in vars(run).items()
        if name not in ("path", "writes")
    }
    assert found == {
        "config_file": "config.json",
        "environment": "environment.json",
        "splits": "splits.json",
        "skipped_cases": "skipped_cases.json",
        "metrics": "metrics.json",
        "history": "metrics.jsonl",
        "report": "report.html",
        "faults": "faults",
        "samples": "samples",
        "synthetic": "synthetic",
    }
    assert run.checkpoints("synthesis") == run.path / "checkpoints" / "synthesis"
    assert run.tensorboard("synthesis") == run.path / "tensorboard" / "synthesis"


def test_only_writers_make_the_directory(tmp_path):
    assert not RunDirectory(tmp_path / "run", writes=False).path.exists()
    assert RunDirectory(tmp_path / "run").samples.is_dir()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"run directory .*file/run .*--out"):
        RunDirectory(tmp_path / "file" / "run")


def test_history_comes_back_in_order(run):
    assert run.read_history() == []
    rows = [row("structure", 2), row("structure", 4)]
    for each in rows:
        run.append_history(each)
    assert run.read_history() == rows
    assert [json.loads(line) for line in run.history.read_text().splitlines()] == rows


def test_history_takes_finite_numbers_only(run):
    with pytest.raises(ValueError):
        run.append_history({"stage": "structure", "step": 1, "loss/G": float("nan")})
    assert run.read_history() == []


def test_rewinding_drops_lost_work_of_one_stage(run):
    rows = [row("structure", 2), row("synthesis", 1), row("structure", 4), row("structure", 6)]
    for each in rows:
        run.append_history(each)
    run.rewind_history("structure", 4)
    assert run.read_history() == rows[:3]


def test_a_line_cut_off_by_a_crash_does_not_spoil_the_next(run):
    run.append_history(row("structure", 2))
    with run.history.open("a") as file:
        file.write('{"stage": "structure", "st')
    assert run.read_history() == [row("structure", 2)]
    run.rewind_history("structure", 2)
    run.append_history(row("structure", 4))
    assert run.read_history() == [row("structure", 2), row("structure", 4)]


def test_rewinding_nothing_makes_no_file(run):
    run.rewind_history("structure", 0)
    assert not run.history.exists()


def test_metrics_are_merged_and_sorted(run):
    assert run.read_metrics() == {}
    run.update_metrics({"b/dice": 1, "a/dice": 0.25})
    run.update_metrics({"b/dice": 0.5, "c/dice": 2})
    assert run.read_metrics() == {"a/dice": 0.25, "b/dice": 0.5, "c/dice": 2.0}
    assert list(json.loads(run.metrics.read_text())) == ["a/dice", "b/dice", "c/dice"]

"""The trained run behind a table or figure: named, made, or refused."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import tensorflow as tf

from experiments.configs.brats import TINY
from experiments.engine.cli import default_cache, main, parse
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.recording import command, timed
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.ablation.table import TABLE1
from experiments.tables.quality.table import TABLE3_QUALITY
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory
from utils.training.signals import Interrupted

CONFIG = replace(TINY, phantom_subjects=2)
TABLE = Experiment(
    "experiments/table0.py",
    "A table.",
    {"tiny": CONFIG},
    stages=(Task("table", lambda run: None),),
    key="table0",
    sources=Finished(TRAIN_BRATS),
    options=(
        Option("rows", str, "all", "rows"),
        Option("no-more", int, 0, "a dash"),
    ),
)


def read(*words, script: Experiment = TABLE):
    return parse([str(word) for word in words], script)


def run_of(script: Experiment, *words) -> Run:
    request = read(*words, script=script)
    return Run(script, request, tf.distribute.get_strategy(), writes=False)


def trained(run: Run) -> bool:
    return (run.path / "weights").exists()


def main_run(work=lambda run: (run.path / "weights").touch(), **others) -> Experiment:
    """The main system with one stage, which does `work` and is done when there are weights."""
    stages = (Task("structure", work, done=trained),)
    return replace(TRAIN_BRATS, presets={"tiny": CONFIG}, stages=stages, **others)


def run(experiment: Experiment, *words) -> int:
    """Make a table of trained runs of an experiment; return its exit code."""
    table = replace(TABLE, sources=Finished(experiment))
    return main(table, [str(word) for word in words])


def test_a_named_run_gives_preset_data_and_split(tiny_run, tmp_path):
    words = ("--run", tiny_run, "--out", tmp_path / "out", "--rows", "1,3", "--no-more", 2)
    request = read(*words)
    assert (request.preset, request.run) == ("tiny", tiny_run)
    assert request.options == {"rows": "1,3", "no_more": 2}
    assert request.command.endswith("--resume --rows 1,3 --no-more 2")
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    table = run_of(TABLE, *words)
    TABLE.sources.open(table)
    assert table.split.train and table.source.config.phantom_subjects == 2
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    assert not (tmp_path / "out").exists()


def test_a_script_without_the_usual_presets_has_its_first(tiny_run, tmp_path, capsys):
    table = replace(TABLE, presets={"one": CONFIG, "two": CONFIG})
    for words in ((), ("--data", tmp_path), ("--run", tiny_run)):
        made = run_of(table, *words)
        assert made.request.preset == "one" and "--preset one" in command(made)
    with pytest.raises(SystemExit):
        main(table, ["--preset", "demo"])
    assert main(table, ["--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "invalid choice: 'demo'" in error
    assert "train_brats.py has no preset one to make a trained run with; name a finished" in error


def test_an_unfinished_run_is_refused(tiny_run, tmp_path):
    for name in ("config.json", "splits.json"):
        shutil.copy(tiny_run / name, tmp_path)
    with pytest.raises(UserError, match="has not finished structure, .*report; continue it with"):
        TABLE.sources.open(run_of(TABLE, "--run", tmp_path))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"--run needs a run directory; {tmp_path} holds no"):
        read("--run", tmp_path)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Interrupted("structure, step 3")])
def test_a_stop_while_the_main_run_is_made_can_be_resumed(tmp_path, capsys, stop):
    seen = []

    def train(run):
        seen.append((run.path, run.config, run.request.stages, run.request.resume))
        raise stop

    out = tmp_path / "out"
    words = ("--preset", "tiny", "--out", out, "--cache", default_cache(), "--rows", "1,3")
    assert run(main_run(train), *words) == 130
    assert "what is finished is saved; continue with: " in capsys.readouterr().err
    assert read_json(out / "config.json")["options"] == {"rows": "1,3", "no_more": 0}
    assert run(main_run(train), "--resume", "--out", out) == 130
    main_runs = [(out / "main", CONFIG, ("structure",), resume) for resume in (False, True)]
    assert seen == main_runs


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), UserError("No data.")])
def test_a_main_run_that_never_began_leaves_nothing(tmp_path, failure):
    def fail(request, strategy):
        raise failure

    out = tmp_path / "out"
    assert run(main_run(check=fail), "--preset", "tiny", "--out", out) in (2, 130)
    assert not out.exists()


def test_another_main_run_is_refused_and_a_moved_one_continues(tmp_path, capsys):
    def finished(name, seed):
        words = ("--preset=tiny", "--out", str(tmp_path / name), f"--seed={seed}")
        assert main(main_run(), words) == 0
        write_json(tmp_path / name / "synthetic" / "manifest.json", {"samples": 8})
        return tmp_path / name

    out = tmp_path / "out"
    resume = ("--resume", "--out", out)
    assert run(main_run(), "--run", finished("one", 0), "--out", out) == 0
    assert run(main_run(), *resume, "--run", finished("other", 1)) == 2
    assert "began with another trained run than" in capsys.readouterr().err
    moved = (tmp_path / "one").rename(tmp_path / "moved")
    assert run(main_run(), *resume, "--run", moved) == 0
    assert read_json(out / "config.json")["run"] == str(moved)
    write_json(moved / "synthetic" / "manifest.json", {"samples": 9})
    assert run(main_run(), *resume) == 2


def test_a_stopwatch_adds_up_also_when_stopped(tmp_path):
    folder = RunDirectory(tmp_path)
    folder.update_metrics({"table0/seconds": 100.0})
    with pytest.raises(KeyboardInterrupt), timed(folder, "table0"):
        raise KeyboardInterrupt
    assert 100 < folder.read_metrics()["table0/seconds"] < 101


def test_a_printed_command_repeats_the_run(tmp_path):
    words = ["--preset", "tiny", "--samples", "9", "--gan_sharp.learning_rate", "1e-5"]
    words += ["--skrgan_star.initializer", "glorot_uniform", "--inception-weights", "a b"]
    table3 = run_of(TABLE3_QUALITY, *words)
    text = command(table3)
    assert text == (
        "python experiments/table3_quality.py --preset tiny --inception-weights PATH --samples=9 "
        "--skrgan_star.initializer=glorot_uniform --gan_sharp.learning_rate=1e-05"
    )
    assert read(*text.split()[2:], script=TABLE3_QUALITY).config == table3.config
    table1 = run_of(TABLE1, "--rows=A,B", "--seed=3")
    assert command(table1, rows="all").endswith("--preset demo --seed=3")

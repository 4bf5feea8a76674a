"""A run directory belongs to one process: what a second one is told, and what it leaves alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import asdict

import pytest
import tensorflow as tf

from experiments import figure16_samples, table1_tc_mgan
from experiments.configs.brats import PRESETS, TINY
from experiments.engine.cli import Script, main, parse
from experiments.engine.starting import record_start, starting
from experiments.tables.tc_mgan import variants
from tests.experiments.conftest import SCRIPT, train
from utils.runs.environment import REPOSITORY
from utils.runs.files import write_json

HOLD = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from utils.runs.locking import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """Lets another process hold a folder; returns it with what the sentence has to say of it."""
    running = []

    def hold(name: str):
        command = [sys.executable, "-c", HOLD, str(tmp_path / name)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, **pipes))
        assert running[-1].stdout.readline() == "held\n"
        process = f"process {running[-1].pid} on host {socket.gethostname()} since 20"
        return tmp_path / name, f"error: The folder {tmp_path / name} is in use by {process}"

    yield hold
    for process in running:
        process.kill()
        process.communicate()


def start(out, execute, *words: str) -> int:
    script = Script(SCRIPT, "Trains.", PRESETS, ("structure",))
    return main(lambda: parse(("--preset=tiny", "--out", str(out), *words), script), execute)


def test_a_second_start_ends_with_2_and_touches_nothing(held, capsys):
    out, sentence = held("run")
    (out / "splits.json").write_text("of the first, which has not recorded its start yet")
    before = {path.name: path.read_text() for path in out.iterdir()}
    assert start(out, pytest.fail) == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence) and "wait until that has ended, stop it, or" in error
    assert error.count("\n") == 1
    assert {path.name: path.read_text() for path in out.iterdir() if path.is_file()} == before


def test_a_resume_is_refused_too_but_not_a_dry_run(held, capsys):
    out, sentence = held("run")
    settings = {"preset": "tiny", "precision": "float32", "config": asdict(TINY)}
    write_json(out / "config.json", {**settings, "data": None})
    assert train("--out", str(out), "--resume", "--stages=report") == 2
    assert capsys.readouterr().err.startswith(sentence)
    assert start(out, lambda launch, run, strategy: None, "--dry-run") == 0


def test_workers_that_write_nothing_take_no_lock(held):
    out, _ = held("run")
    with starting(out, writes=False) as run:
        assert not run.writes


def test_the_lock_lasts_as_long_as_the_work(tmp_path, capsys):
    out = tmp_path / "run"

    def work(*arguments):
        record_start(*arguments)
        assert (out / "lock.json").exists()
        assert start(out, pytest.fail, "--resume") == 2

    assert start(out, work) == 0
    assert f"The folder {out} is in use by process" in capsys.readouterr().err
    assert not (out / "lock.json").exists()
    with pytest.raises(ZeroDivisionError):
        start(out, lambda *_: 1 / 0, "--resume")
    assert not (out / "lock.json").exists()


def test_the_main_run_that_a_script_makes_is_locked_by_it(held, tmp_path, capsys):
    _, sentence = held("out/main")
    words = ("--preset=tiny", "--out", str(tmp_path / "out"))
    code = main(lambda: parse(words, figure16_samples.SCRIPT), figure16_samples.execute)
    assert code == 2 and capsys.readouterr().err.startswith(sentence)
    assert not (tmp_path / "out" / "config.json").exists()


def test_what_skip_bad_writes_to_the_variants_is_written_under_their_locks(tmp_path, monkeypatch):
    seen = []

    def skip(slicing, run, data, cache):
        seen.append((run.path / "lock.json").exists())

    monkeypatch.setattr(variants, "skip_bad_cases", skip)
    monkeypatch.setattr(variants, "open_translation", lambda *_: 1 / 0)
    words = ("--preset=tiny", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    launch = parse((*words, "--skip-bad"), table1_tc_mgan.SCRIPT)
    with pytest.raises(ZeroDivisionError):
        variants.open_variants(launch, launch.config, tf.distribute.get_strategy())
    assert seen == [True] * 4 and not list(tmp_path.rglob("lock.json"))


def test_a_run_that_was_started_since_the_command_was_read_is_not_overwritten(tmp_path, capsys):
    out = tmp_path / "run"
    script = Script(SCRIPT, "Trains.", PRESETS, ("structure",))

    def read():
        launch = parse(("--preset=tiny", "--out", str(out)), script)
        assert start(out, record_start) == 0
        return launch

    assert main(read, pytest.fail) == 2
    assert f"--out {out} already holds a run; add --resume" in capsys.readouterr().err


@pytest.mark.parametrize("cache", ["file", "/proc/none"])
def test_a_cache_that_cannot_be_written_is_told_before_training(tmp_path, capsys, cache):
    (tmp_path / "file").write_text("")
    place = str(tmp_path / cache)
    assert train("--preset=tiny", "--out", str(tmp_path / "run"), "--cache", place) == 2
    error = capsys.readouterr().err
    assert f"Cannot write the phantom to {place} (" in error and "choose another --cache" in error
    assert not (tmp_path / "run").exists()

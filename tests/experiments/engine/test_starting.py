"""A run directory belongs to one process: what a second one is told, and what it leaves alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import asdict

import pytest
import tensorflow as tf

from experiments.configs.brats import TINY
from experiments.engine import cli, sources
from experiments.engine.cli import main, parse
from experiments.engine.recording import record_start, starting
from experiments.engine.run import Run
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.figures import FIGURE16
from experiments.tables.tc_mgan.translation import TABLE1_TC_MGAN
from tests.experiments.conftest import train
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


def start(out, perform, *words: str) -> int:
    """Run a command line with another function in the place of `perform`; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "perform", perform)
        return main(TRAIN_BRATS, ("--preset=tiny", "--out", str(out), *words))


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
    assert start(out, lambda run: None, "--dry-run") == 0


def test_workers_that_write_nothing_take_no_lock(held):
    out, _ = held("run")
    with starting(out, writes=False) as run:
        assert not run.writes


def test_the_lock_lasts_as_long_as_the_work(tmp_path, capsys):
    out = tmp_path / "run"

    def work(run):
        record_start(run)
        assert (out / "lock.json").exists()
        assert start(out, pytest.fail, "--resume") == 2

    assert start(out, work) == 0
    assert f"The folder {out} is in use by process" in capsys.readouterr().err
    assert not (out / "lock.json").exists()
    with pytest.raises(ZeroDivisionError):
        start(out, lambda run: 1 / 0, "--resume")
    assert not (out / "lock.json").exists()


def test_the_main_run_that_a_script_makes_is_locked_by_it(held, tmp_path, capsys):
    _, sentence = held("out/main")
    code = main(FIGURE16, ("--preset=tiny", "--out", str(tmp_path / "out")))
    assert code == 2 and capsys.readouterr().err.startswith(sentence)
    assert not (tmp_path / "out" / "config.json").exists()


def test_what_skip_bad_writes_to_the_variants_is_written_under_their_locks(tmp_path, monkeypatch):
    seen = []

    def skip(run, source):
        seen.append((run.path / "lock.json").exists())

    monkeypatch.setattr(sources, "skip_bad_cases", skip)
    monkeypatch.setattr(Run, "open_data", lambda run: 1 / 0)
    words = ("--preset=tiny", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    request = parse((*words, "--skip-bad"), TABLE1_TC_MGAN)
    run = Run(TABLE1_TC_MGAN, request, tf.distribute.get_strategy(), writes=False)
    with pytest.raises(ZeroDivisionError):
        TABLE1_TC_MGAN.sources.open(run)
    assert seen == [True] * 4 and not list(tmp_path.rglob("lock.json"))


def test_a_run_that_was_started_since_the_command_was_read_is_not_overwritten(
    tmp_path, capsys, monkeypatch
):
    out, read = tmp_path / "run", cli.parse

    def parse_slowly(*arguments):
        request = read(*arguments)
        monkeypatch.setattr(cli, "parse", read)
        assert start(out, record_start) == 0
        return request

    monkeypatch.setattr(cli, "parse", parse_slowly)
    assert start(out, pytest.fail) == 2
    assert f"--out {out} already holds a run; add --resume" in capsys.readouterr().err


@pytest.mark.parametrize("cache", ["file", "/proc/none"])
def test_a_cache_that_cannot_be_written_is_told_before_training(tmp_path, capsys, cache):
    (tmp_path / "file").write_text("")
    place = str(tmp_path / cache)
    assert train("--preset=tiny", "--out", str(tmp_path / "run"), "--cache", place) == 2
    error = capsys.readouterr().err
    assert f"Cannot write the phantom to {place} (" in error and "choose another --cache" in error
    assert not (tmp_path / "run").exists()

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta

import pytest

from utils.errors import UserError
from utils.runs import locking
from utils.runs.environment import REPOSITORY
from utils.runs.locking import LOCK, locked

HOLD = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from utils.runs.locking import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
ELSEWHERE = {"pid": 7, "host": "elsewhere", "since": "2020-01-02 03:04:05+00:00"}


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds the folder until its standard input closes."""
    running = []

    def start():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
        running.append(subprocess.Popen(command, **pipes))
        assert running[-1].stdout.readline() == "held\n"
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def left_by(run, text: str) -> None:
    run.mkdir()
    (run / LOCK).write_text(text)


def test_a_second_process_is_told_who_holds_the_folder(hold, run):
    process = hold()
    with pytest.raises(UserError) as caught, locked(run):
        pytest.fail("both hold it")
    sentence = str(caught.value)
    where = f"{run} is in use by process {process.pid} on host {socket.gethostname()} since "
    assert where in sentence and "wait until that has ended, stop it, or choose" in sentence
    since = datetime.fromisoformat(re.search(r"since (.*?);", sentence)[1])
    assert timedelta(0) <= datetime.now().astimezone() - since < timedelta(minutes=1)
    assert json.loads((run / LOCK).read_text())["pid"] == process.pid
    process.communicate("")
    assert process.returncode == 0 and list(run.iterdir()) == []
    with locked(run):
        assert json.loads((run / LOCK).read_text())["pid"] == os.getpid()


def test_what_a_killed_process_leaves_locks_nobody_out(hold, run, capsys):
    process = hold()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (run / LOCK).exists()
    with locked(run):
        pass
    assert list(run.iterdir()) == [] and capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_file_is_no_lock(run, text, capsys):
    left_by(run, text)
    with locked(run):
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on"), locked(run):
            pass
        (run / LOCK).write_text(text)
        with pytest.raises(UserError, match="in use by another process; wait"), locked(run):
            pass
    assert capsys.readouterr().err == ""


def test_a_holder_on_another_host_is_told(run, capsys):
    left_by(run, json.dumps(ELSEWHERE))
    with locked(run):
        pass
    note = capsys.readouterr().err
    assert f"note: {run} was left by process 7 on host elsewhere since 2020-01-02" in note
    assert note.count("\n") == 1


def test_a_failure_gives_the_folder_free(run):
    with pytest.raises(ZeroDivisionError), locked(run):
        raise ZeroDivisionError
    assert list(run.iterdir()) == []


def test_a_file_that_someone_else_put_there_stays(run):
    with locked(run):
        (run / LOCK).unlink()
        (run / LOCK).write_text("mine")
    assert (run / LOCK).read_text() == "mine"


def test_a_file_that_its_holder_just_removed_is_not_held(run, monkeypatch):
    """Between opening and locking the file its holder removes it and another one makes it anew."""
    flock, calls = locking.fcntl.flock, []

    def slow(descriptor, operation):
        if not calls:
            (run / LOCK).unlink()
            (run / LOCK).write_text("")
        calls.append(descriptor)
        return flock(descriptor, operation)

    monkeypatch.setattr(locking.fcntl, "flock", slow)
    with locked(run):
        assert json.loads((run / LOCK).read_text())["pid"] == os.getpid()
    assert len(calls) == 2


@pytest.mark.parametrize("missing", [True, False])
def test_a_system_without_locks_is_told(run, monkeypatch, capsys, missing):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if missing:
        monkeypatch.setattr(locking, "fcntl", None)
    else:
        monkeypatch.setattr(locking.fcntl, "flock", refuse)
    with locked(run):
        assert list(run.iterdir()) == []
    assert re.fullmatch(
        rf"note: {run} cannot be locked \(.+\); let no second run write to it\n",
        capsys.readouterr().err,
    )


READ_ONLY = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from utils.runs.run_directory import RunDirectory
from utils.runs.locking import locked
if os.geteuid() == 0:
    os.setuid(65534)  # nothing is forbidden to root
for write in (lambda path: RunDirectory(path / "new"), lambda path: locked(path).__enter__()):
    try:
        write(__import__("pathlib").Path(sys.argv[1]))
    except ValueError as error:
        print(error)
"""


def test_a_read_only_folder_is_told_before_anything_else(run):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        command = [sys.executable, "-c", READ_ONLY, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert f"run directory {folder}/new (Permission denied); choose another --out" in first
    assert f"folder {folder} (Permission denied); make it writable or choose another" in second


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"folder .*file/run \(Not a directory\); make it"):
        with locked(tmp_path / "file" / "run"):
            pass

"""Scripts on a disk that becomes full: on a real, small one, and their exit code and sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.conftest import TINY
from utils.runs.environment import REPOSITORY
from utils.runs.exits import exit_code
from utils.runs.files import naming_full_disk

STEPS = 40
WORDS = (
    *TINY,
    "--stages=segmentation",
    f"--schedule.segmentation.steps={STEPS}",
    "--schedule.segmentation.steps_per_call=1",
    "--schedule.segmentation.log_every=1",
    "--schedule.segmentation.checkpoint_minutes=0",
)
# Runs with a mount of its own: trains until the disk is full, makes room and goes on.
PROGRAM = f"""
import json, re, shlex, shutil, subprocess, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.experiments.conftest import finish, history, start
from utils.training.checkpoints import saved_step
disk, kept, words = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", str(disk)], check=True)
out, filler = disk / "run", disk / "filler"

def fill():
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass

process = start(*words, "--out", str(out))
while len(history(out, "segmentation")) < 3 and process.poll() is None:
    pass
fill()
code, error = finish(process)
left = [str(path) for path in out.rglob("*") if path.name.startswith(".")]
step = saved_step(out / "checkpoints" / "segmentation")
configuration = json.loads((out / "config.json").read_text())["preset"]
filler.unlink()
command = shlex.split(re.search("continue with: (.*)", error)[1])
resumed = finish(start(*command[2:]))
steps = [row["step"] for row in history(out, "segmentation")]
kept.write_text(json.dumps([code, error, left, step, configuration, *resumed, steps]))
"""


def has_small_disks() -> bool:
    """Whether this user may mount a file system in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not has_small_disks(), reason="no small file system can be mounted")
def test_a_full_disk_ends_the_run_and_the_printed_command_goes_on(tmp_path):
    disk, kept = tmp_path / "disk", tmp_path / "kept.json"
    disk.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(disk), str(kept), json.dumps(WORDS)]
    subprocess.run(["unshare", "-Urm", *command], check=True, timeout=900)
    code, error, left, step, preset, resumed, trouble, steps = json.loads(kept.read_text())
    assert code == 1 and "Traceback" not in error
    (sentence,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert f"The disk of {disk}/run" in sentence and " is full: " in sentence
    assert "bytes were to be written and " in sentence and "--resume" in sentence
    assert left == [] and preset == "tiny" and 0 < step < STEPS
    assert resumed == 0, trouble
    assert "cannot be read" not in trouble and steps == list(range(1, STEPS + 1))


def fill_disk() -> None:
    with naming_full_disk(Path("runs")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_has_exit_code_1_and_says_how_to_go_on(capsys):
    assert exit_code(fill_disk, lambda: "what is finished is saved") == 1
    output = capsys.readouterr()
    assert output.err.startswith("error: The disk of runs is full: ") and output.out == ""
    assert output.err.endswith("bytes are free; free some space; what is finished is saved\n")

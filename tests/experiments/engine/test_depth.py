"""How far it is from a command line to the science: frames and files, measured while it runs."""

from __future__ import annotations

import sys

from experiments.engine.cli import main
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from models.structure_gan.structure import StructureGAN
from tests.experiments.conftest import TINY
from utils.runs.environment import REPOSITORY

ROOT = f"{REPOSITORY}/"


class Arrived(BaseException):
    """The first training step has been called."""


def way_to(function, start) -> tuple[list[str], list[str]]:
    """Files of ours entered, and the stack of our functions, when `start()` calls `function`."""
    files: dict[str, None] = {}
    stack = []

    def ours(frame) -> str:
        file = frame.f_code.co_filename
        inside = file.startswith(ROOT) and "/.venv" not in file and "/tests/" not in file
        return file[len(ROOT) :] if inside else ""

    def watch(frame, event, argument):
        if event != "call" or not ours(frame):
            return
        files[ours(frame)] = None
        if frame.f_code is function.__code__:
            sys.setprofile(None)
            while frame:
                stack.extend([f"{ours(frame)} {frame.f_code.co_name}"] if ours(frame) else [])
                frame = frame.f_back
            raise Arrived

    sys.setprofile(watch)
    try:
        start()
    except Arrived:
        pass
    finally:
        sys.setprofile(None)
    return list(files), stack


def test_few_frames_and_files_lie_between_main_and_the_first_step(tmp_path):
    words = [*TINY, "--stages", "structure", "--out", str(tmp_path / "run")]
    files, stack = way_to(StructureGAN.train_step, lambda: main(TRAIN_BRATS, words))
    assert stack[0].endswith("train_step") and stack[-1] == "experiments/engine/cli.py main"
    assert len(stack) <= 9, stack
    composing = [file for file in files if file.startswith("experiments/")]
    assert len(composing) <= 9, composing

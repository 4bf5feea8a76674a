"""A small data set of the user's, and a script that reads it and trains nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.configs.brats import TINY as PRESET
from experiments.engine.cli import main, parse
from experiments.engine.experiment import Task
from experiments.engine.run import Run
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.data.defects import DEFECTS
from tests.data.trees import TINY, case_files, write_tree
from utils.runs.run_directory import RunDirectory

CONFIG = replace(PRESET, slicing=TINY)


class Bench:
    """Some cases, and a script with one stage that only notes the run it works on."""

    def __init__(self, folder: Path, layout: str = "flat2015", count: int = 6):
        self.data = write_tree(folder / "data", layout, count)
        self.run = RunDirectory(folder / "run", writes=False)
        self.runs: list[Run] = []
        self.experiment = replace(
            TRAIN_BRATS,  # without its rules for the size of slices
            presets={"tiny": CONFIG},
            stages=(Task("structure", self.runs.append, always=True, alone=False),),
            check=lambda request, strategy: None,
        )

    def spoil(self, number: int, name: str) -> None:
        DEFECTS[name].spoil(case_files(self.data, "flat2015", number))

    def words(self, *words: str) -> tuple[str, ...]:
        out = ("--out", str(self.run.path), "--cache", str(self.data.parent / "cache"))
        data = () if "--resume" in words else ("--preset=tiny", "--data", str(self.data))
        return (*data, *out, *words)

    def launch(self, *words: str):
        return parse(self.words(*words), self.experiment)

    def start(self, *words: str) -> int:
        return main(self.experiment, self.words(*words))

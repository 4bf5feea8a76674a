"""A small data set of the user's, and a script that reads it and trains nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.brats.dataset import BRATS
from data.splits import Split, split_subjects
from experiments.configs.brats import TINY as PRESET
from experiments.engine.cli import Script, main, parse
from experiments.engine.job import TrainingJob
from experiments.engine.run_context import open_data
from experiments.systems.structure_gan.context import Context
from tests.data.defects import DEFECTS
from tests.data.trees import TINY, case_files, write_tree
from tests.experiments.conftest import SCRIPT
from utils.runs.run_directory import RunDirectory

CONFIG = replace(PRESET, slicing=TINY)


def open_context(config, run, strategy, data, cache) -> Context:
    """Like that of the main system, without its rules for the size of slices."""

    def divide(ids: list[str]) -> Split:
        fraction, patient_of = config.test_fraction, BRATS.patient_of
        return split_subjects(ids, fraction, seed=config.seed, patient_of=patient_of)

    return Context(config, run, strategy, **open_data(config, run, data, cache, Split, divide))


class Bench:
    """Some cases, and a script with one stage that only notes the context it works on."""

    def __init__(self, folder: Path, layout: str = "flat2015", count: int = 6):
        self.data = write_tree(folder / "data", layout, count)
        self.run = RunDirectory(folder / "run", writes=False)
        self.contexts: list[Context] = []
        self.script = Script(SCRIPT, "Trains.", {"tiny": CONFIG}, ["structure"])
        stages = {"structure": self.contexts.append}
        self.job = TrainingJob(stages, (), {}, lambda *_: None, lambda *_: None, open_context)

    def spoil(self, number: int, name: str) -> None:
        DEFECTS[name].spoil(case_files(self.data, "flat2015", number))

    def launch(self, *words: str):
        out = ("--out", str(self.run.path), "--cache", str(self.data.parent / "cache"))
        data = () if "--resume" in words else ("--preset=tiny", "--data", str(self.data))
        return parse((*data, *out, *words), self.script)

    def start(self, *words: str) -> int:
        return main(lambda: self.launch(*words), self.job.execute)

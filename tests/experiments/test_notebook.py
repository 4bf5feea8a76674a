"""The Python door: the example of the docs in a fresh interpreter, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from data.slice_sets import stored_slices
from experiments.engine.cli import default_cache
from experiments.notebook import open_run
from utils.errors import UserError
from utils.runs.environment import REPOSITORY
from utils.seeding import derive_seed

PAGE = (REPOSITORY / "docs" / "python.md").read_text()
SYNTHESIS, TRANSLATION = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run_example(text: str, run, folder) -> str:
    """What it prints in a fresh interpreter that starts in an empty folder."""
    text = text.replace('"RUN"', repr(str(run)))
    result = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_docs_example_runs_anywhere(tiny_run, tmp_path):
    assert len(SYNTHESIS.splitlines()) <= 30
    assert "('T1', 'T2', 'T1c', 'Flair')" in run_example(SYNTHESIS, tiny_run, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_docs_translation_runs_anywhere(tiny_variants, tmp_path):
    volume = next(default_cache().rglob("phantom*/**/*T2*.mha"))
    example = TRANSLATION.replace('"CASE_T2.nii.gz"', repr(str(volume)))
    text = run_example(example, tiny_variants / "variants" / "mgan", tmp_path)
    assert text.startswith("(155, 240, 240) {'Flair': ") and not list(tmp_path.iterdir())


def test_samples_are_those_of_the_stage_and_nothing_is_written(tiny_run):
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    run = open_run(tiny_run)
    seed = derive_seed(run.run.config.seed, "dataset")  # the stage's own
    drawn, stored = run.synthesize(3, seed), stored_slices(tiny_run / "synthetic", 3)
    for name, values in drawn.items():
        np.testing.assert_array_equal(values, getattr(stored, name))
    assert len(run.classes) == 5 and run.metrics["segmentation/real/images"] > 0
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    with pytest.raises(UserError, match="samples is 0; give 1 or more"):
        run.synthesize(0)


def test_what_is_no_finished_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="open_run needs a run directory; .* holds no config.json"):
        open_run(tmp_path)

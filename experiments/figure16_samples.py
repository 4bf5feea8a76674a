"""Thesis Fig. 16: synthetic samples: mask, structure map, lesion label and four modalities.

    python experiments/figure16_samples.py --run RUN         # RUN: a finished main run

Writes figure16.png and figure16.md. Source: Yili Qu, master thesis, 5.7.3.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import numpy as np
import pandas as pd
import tensorflow as tf

from data.brats.names import MODALITIES
from experiments.configs.figures import SAMPLES
from experiments.engine.cli import Launch, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, open_evidence
from experiments.systems.structure_gan.evaluation import SliceSet, synthetic
from experiments.systems.structure_gan.pictures import label_row, plain_row
from utils.errors import UserError
from utils.reporting.pictures import grid, write_png
from utils.runs.files import write_text
from utils.runs.run_directory import RunDirectory

SCRIPT = Script(
    "experiments/figure16_samples.py",
    __doc__.split("\n")[0],
    SAMPLES,
    stages=("draw",),
    reads_run=True,
)
ROWS = ("mask", "map", "label", *MODALITIES)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Draws the sheet, or prints the plan."""
    source = open_evidence(launch, run, strategy)
    if source is None or not run.writes:
        return
    config = launch.config
    with Stopwatch(run, "figure16"):
        table = pd.read_csv(source.run.synthetic / "samples.csv")
        numbers = np.flatnonzero(table["selected"]) if config.selected else np.arange(len(table))
        if not len(numbers):
            raise UserError(
                "The main run's lesion filter kept no sample, but --selected asks for those; leave "
                "it out"
            )
        chosen = np.random.default_rng(config.seed).permutation(numbers)[: config.samples]
        write_png(run.path / "figure16.png", sheet(synthetic(source), np.sort(chosen)))
        write_text(run.path / "figure16.md", _text(launch, source.data_note, np.sort(chosen)))
        run.update_metrics({"figure16/samples": len(chosen)})
    print(run.path / "figure16.png")


def sheet(slices: SliceSet, chosen: np.ndarray) -> np.ndarray:
    """Returns rows of masks (organ white), maps, labels and four modalities: uint8 [H,W,3]."""
    rows = [
        plain_row(1 - slices.outside[chosen]),
        plain_row(slices.structure[chosen]),
        label_row(slices.label[chosen]),
        *(plain_row(slices.images[chosen, ..., i]) for i in range(len(MODALITIES))),
    ]
    return grid(rows, titles=ROWS)


def _text(launch: Launch, note: str, chosen: np.ndarray) -> str:
    kept = "kept by the lesion filter" if launch.config.selected else "unfiltered"
    return f"""# Figure 16: synthetic samples

Columns are samples {", ".join(map(str, chosen))} of the main run's set, drawn at random, {kept}.
Labels: yellow necrosis, blue oedema, green non-enhancing, magenta enhancing.

* Data: {note}.
* Command: `{command(SCRIPT, launch)}`; seed {launch.config.seed}.
"""


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))

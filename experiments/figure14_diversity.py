"""Thesis Fig. 14: a sheet of random structure maps, as drawn and sieved, and how alike they are.

    python experiments/figure14_diversity.py --run RUN       # RUN: a finished main run

Writes figure14.png, figure14.md and the mean overlap of all pairs of maps to metrics.json.
Source: Yili Qu, master thesis, 5.7.1.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import numpy as np
import tensorflow as tf

from experiments.configs.figures import DIVERSITY
from experiments.engine.cli import Launch, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, open_evidence
from experiments.figures.random_codes import first_and_sieved, mean_overlap
from experiments.systems.structure_gan.evaluation import held_out
from utils.reporting.pictures import grid, to_uint8, write_png
from utils.runs.files import write_text
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed

SCRIPT = Script(
    "experiments/figure14_diversity.py",
    __doc__.split("\n")[0],
    DIVERSITY,
    stages=("draw",),
    reads_run=True,
)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Draws the sheet and writes its figures, or prints the plan."""
    source = open_evidence(launch, run, strategy)
    if source is None or not run.writes:
        return
    config = launch.config
    count = config.side**2
    with Stopwatch(run, "figure14"):
        seed = derive_seed(config.seed, "figure14")
        first, sieved, after_retries = first_and_sieved(source, count, seed)
        real = held_out(source).structure
        real = real[np.linspace(0, len(real) - 1, min(count, len(real))).astype(int)]
        overlaps = {
            "as_drawn": mean_overlap(first),
            "sieved": mean_overlap(sieved),
            "extracted": mean_overlap(real),
        }
        write_png(run.path / "figure14.png", sheet(first, sieved, config.side))
        replaced = int((first != sieved).any(axis=(1, 2)).sum())
        write_text(run.path / "figure14.md", _text(launch, source.data_note, overlaps, replaced))
        metrics = {f"figure14/{name}/overlap": value for name, value in overlaps.items()}
        counts = {"figure14/replaced": replaced, "figure14/after_retries": after_retries}
        run.update_metrics({**metrics, **counts})
    print(run.path / "figure14.png")


def sheet(first: np.ndarray, sieved: np.ndarray, side: int) -> np.ndarray:
    """Returns both sets of side * side maps [N,H,W] beside each other, an empty column between."""
    blank = [np.full(first.shape[1:], 255, np.uint8)]
    rows = [
        [to_uint8(part[i * side + j]) for j in range(side)]
        for i in range(side)
        for part in (first, sieved)
    ]
    pairs = [left + blank + right for left, right in zip(rows[::2], rows[1::2])]
    headers = [""] * (2 * side + 1)
    headers[side // 2], headers[side + 1 + side // 2] = "as drawn", "sieved"
    return grid(pairs, headers=headers)


def _text(launch: Launch, note: str, overlaps: dict[str, float], replaced: int) -> str:
    count = launch.config.side**2
    return f"""# Figure 14: random structure maps

{count} random maps as drawn (left) and sieved by the run's filter (right), {replaced} of
them later draws.

* Data: {note}.
* Command: `{command(SCRIPT, launch)}`; seed {launch.config.seed}.
* Mean overlap (Dice of the lines) of all pairs of maps; lower is more diverse, and the value of
  maps extracted from held-out slices is the mark to meet: as drawn {overlaps["as_drawn"]:.3f},
  sieved {overlaps["sieved"]:.3f}, extracted {overlaps["extracted"]:.3f}.
"""


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))

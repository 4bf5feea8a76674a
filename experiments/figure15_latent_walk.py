"""Thesis Fig. 15: structure maps on a walk between random codes, by swapping and by mixing.

    python experiments/figure15_latent_walk.py --run RUN     # RUN: a finished main run

Writes figure15_swapping.png (the released script's coordinate swapping), figure15_straight.png
(interpolation) and figure15.md. Source: Yili Qu, master thesis, 5.7.2.
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

from experiments.configs.figures import WALK
from experiments.engine.cli import Launch, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, open_evidence
from experiments.figures.latent_walk import straight_walk, swapping_walk
from experiments.figures.random_codes import decode_codes
from utils.metrics.segmentation import dice
from utils.reporting.pictures import grid, to_uint8, write_png
from utils.runs.files import write_text
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed

SCRIPT = Script(
    "experiments/figure15_latent_walk.py",
    __doc__.split("\n")[0],
    WALK,
    stages=("draw",),
    reads_run=True,
)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Draws both sheets and writes how alike neighbours are, or prints the plan."""
    source = open_evidence(launch, run, strategy)
    if source is None or not run.writes:
        return
    config = launch.config
    with Stopwatch(run, "figure15"):
        rng = np.random.default_rng(derive_seed(config.seed, "figure15"))
        *corners, centre = rng.standard_normal([5, source.config.structure.latent_size])
        ends = (np.stack(corners), centre, config.side)
        walks = {
            "swapping": swapping_walk(*ends, config.edge_stride, config.centre_stride),
            "straight": straight_walk(*ends),
        }
        overlaps = {}
        for name, codes in walks.items():
            maps = decode_codes(source, codes.reshape(-1, codes.shape[-1]))
            maps = maps.reshape(config.side, config.side, *maps.shape[1:])
            write_png(run.path / f"figure15_{name}.png", sheet(maps))
            overlaps[name] = neighbour_overlap(maps)
        write_text(run.path / "figure15.md", _text(launch, source.data_note, overlaps))
        run.update_metrics({f"figure15/{name}/overlap": v for name, v in overlaps.items()})
    print(run.path / "figure15_swapping.png")


def sheet(maps: np.ndarray) -> np.ndarray:
    """Returns a square of maps [R,C,H,W] as a picture uint8 [H,W,3]."""
    return grid([[to_uint8(one) for one in row] for row in maps])


def neighbour_overlap(maps: np.ndarray) -> float:
    """Returns the mean Dice of the lines of neighbours in a square of maps [R,C,H,W]."""
    size = maps.shape[2:]
    across = dice(maps[:, :-1].reshape(-1, *size), maps[:, 1:].reshape(-1, *size))
    down = dice(maps[:-1].reshape(-1, *size), maps[1:].reshape(-1, *size))
    return float(np.nanmean(np.concatenate([across, down])))


def _text(launch: Launch, note: str, overlaps: dict[str, float]) -> str:
    config = launch.config
    return f"""# Figure 15: a walk through the codes

Four random codes in the corners, a fifth in the centre, {config.side}x{config.side} maps.

* Swapping: along the border a step takes over one coordinate in {config.edge_stride} of the next
  corner, towards the centre one in {config.centre_stride} of its code (released script). Places
  that have taken over all coordinates repeat their goal.
* Straight: the same places on straight lines between the codes.
* Data: {note}.
* Command: `{command(SCRIPT, launch)}`; seed {config.seed}.
* Mean overlap (Dice of the lines) of neighbours: swapping {overlaps["swapping"]:.3f}, straight
  {overlaps["straight"]:.3f}; 1 means that neighbours are equal.
"""


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))

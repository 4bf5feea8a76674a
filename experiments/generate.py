"""Draw a synthetic set with a trained run, on one machine or shard by shard on any number of them.

    python experiments/generate.py --run RUN --out SET --samples 20000
    python experiments/generate.py --run RUN --out SET --samples 20000 --shard 0/8   # ... 7/8

RUN is a run of the main system (train_brats.py, train_chest_xray.py, train_lung_ct.py,
train_retina.py or train_tianchi_ct.py), of train_early.py, or of train_mm_gan.py or
train_mm_gan_liver.py (new patients with whole volumes) that has finished its trainings; nothing is
written to it. SET gets the format of RUN/synthetic, and begins with the same samples: sample k is a
function of the run and of k. Shard i/n draws the samples whose number leaves the remainder i when
divided by n. All shards may write to one SET on a shared file system at the same time; the folders
`samples` of SETs on other disks can be copied together. Whichever shard then finds all samples
there, also one that has nothing left to draw, writes samples.csv and manifest.json. The set is that
of a single process, byte for byte where processors and packages are the same; others round
differently. A shard that was stopped goes on with the same command.
"""

from __future__ import annotations

import _start

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from data.synthetic_sets.files import Shard, is_complete, read_manifest, samples_there
from experiments.engine.cli import default_cache
from experiments.engine.finished import open_trained
from experiments.engine.published import run_folder
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import MADE_WITH, begin_set
from experiments.systems.mm_gan.dataset import draw_set as draw_volumes
from experiments.systems.mm_gan.dataset import networks as volume_networks
from experiments.systems.mm_gan.stages import VOLUME_TRAININGS
from experiments.systems.structure_gan.dataset import draw_set
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.systems.structure_gan.images.stages import MAIN_SYSTEM
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.outputs import check_output_folder


@dataclass(frozen=True)
class Options:
    """What the command line asks for, field by field its options."""

    run: Path
    out: Path
    samples: Optional[int]
    shard: Shard
    data: Optional[Path]
    cache: Path


def parse() -> Options:
    """Returns the options of the command line; UserError for values that make no sense."""
    parser = Parser(prog="python experiments/generate.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--run", type=Path, required=True, help="run of the main system or of MM-GAN, trained")
    add("--out", type=Path, required=True, help="folder of the set, the same for all shards")
    add("--samples", type=Optional[int], help="size of the whole set; default: the run's own")
    add("--shard", type=str, default="0/1", help="i/n: draw the i-th of n parts, from 0 on")
    add("--data", type=Optional[Path], help="new place of the run's data")
    add("--cache", type=Path, default=default_cache(), help="prepared data and phantom")
    add("--debug", action="store_true", help="show tracebacks")
    words = vars(parser.parse_args())
    words["shard"] = parse_shard(words["shard"])
    options = Options(**{name: words[name] for name in Options.__dataclass_fields__})
    if options.samples is not None and options.samples < 1:
        raise UserError(f"--samples is {options.samples}; give 1 or more")
    return options


def parse_shard(text: str) -> Shard:
    """Returns the shard that `--shard` names; UserError if it is none."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if not match or int(match[1]) >= int(match[2]):
        raise UserError(f"--shard is {text!r}; give i/n with i from 0 to n-1, such as 0/2 and 1/2")
    return Shard(int(match[1]), int(match[2]))


def main() -> None:
    """Draws what is missing of the shard, and finishes the set if no sample is missing then."""
    options = parse()
    check_output_folder("--out", options.out)
    systems = (*MAIN_SYSTEM, TRAIN_EARLY, *VOLUME_TRAININGS)
    folder = run_folder(options.run, options.cache)
    run = open_trained(folder, systems, "--run needs", options.cache, options.data)
    own = run.config.dataset
    config = replace(own, samples=options.samples or own.samples)
    check_size(options.out, config.samples)
    if config != own and options.out.resolve() == run.synthetic.resolve():
        raise UserError(
            f"--out {options.out} is the run's own set, which has {own.samples} samples; leave out "
            "--samples or choose another folder"
        )
    networks, draw = drawing_of(run)
    if not begin_set(run, options.out, asdict(config), networks):
        raise UserError(
            f"--out {options.out} holds samples that were drawn with other networks, settings or "
            f"seed than this run's, or lacks {MADE_WITH}, which tells them; choose another folder"
        )
    if finished(options.out, config.samples):
        print(f"{options.out} is finished, with {config.samples} samples; there is nothing to do")
        return
    draw(run, options.out, config, options.shard)
    print(f"{options.out}: {outcome(options.out, config.samples, options.shard)}")


def drawing_of(run: Run) -> tuple[Sequence[str], Callable[..., None]]:
    """Returns the stages whose networks draw a run's samples, and the function that draws them."""
    if run.experiment in VOLUME_TRAININGS:
        return volume_networks(run), draw_volumes
    return run.experiment.drawing.networks, draw_set


def check_size(out: Path, samples: int) -> None:
    """Raises UserError if `out` holds samples that a set of this size would not have."""
    there = max(samples_there(out), default=-1) + 1
    if there > samples:
        raise UserError(
            f"--samples is {samples}, but --out {out} holds sample {there - 1} of a larger set; "
            f"give {there} or more, or choose another folder"
        )


def finished(out: Path, samples: int) -> bool:
    """Returns whether a set of this size is complete, with its table and manifest."""
    manifest = read_manifest(out)
    whole = is_complete(out, samples)
    return whole and manifest is not None and manifest["samples"] == samples


def outcome(out: Path, samples: int, shard: Shard) -> str:
    """Returns what has become of the set: finished, or how many samples are there."""
    if finished(out, samples):
        return f"all {samples} samples are there, the set is finished"
    return (
        f"shard {shard.index}/{shard.count} is drawn, {len(samples_there(out))} of {samples} "
        "samples are there; whichever shard finds all of them, also when run again, finishes the "
        "set"
    )


def _after_interrupt() -> str:
    return "the samples that are written stay; give the same command again to go on"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

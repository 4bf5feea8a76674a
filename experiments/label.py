"""Draw lesion labels in a brain: at random, of other labels, or changed as you say.

    python experiments/label.py --brain T1.nii.gz --out DIR --count 10
    python experiments/label.py --brain T1.nii.gz --donors FOLDER --out DIR --count 10
    python experiments/label.py --brain T1.nii.gz --label SEG.nii.gz --manipulate mirror --out DIR

--brain is a mask or a skull-stripped scan whose background has one value. Without --donors and
--label lesions are drawn from a few random numbers: rough ellipsoids with nested parts, which cross
sulci and ventricles. With --donors each is that of one of these labels, mirrored, resized and moved
at random; donors lie on the brain's grid. With --label it is that lesion, changed by --manipulate
(see experiments/render.py), in this brain. What lies outside of the brain is cut off.

DIR gets lesion_000.nii.gz and so on, on the brain's grid, with the values of a BRATS release
(--label_scheme). experiments/render.py makes images of them.
"""

from __future__ import annotations

import _start

import sys
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
from tqdm import tqdm

from data.brats.label_schemes import to_2015, values_in
from data.brats.scaling import background
from data.brats.with_brain import brain_mask
from data.grids import Volume, check_same_geometry
from data.manipulation import changed, in_organ, lesion_classes, random_change
from data.random_lesions import random_lesion
from data.volumes import read_volume, read_volume_and_grid, write_on_grid
from experiments.engine.derived import label_files
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.outputs import check_output_folder, replacing_files
from utils.seeding import derive_seed

OPTION = "--label_scheme"


def main() -> None:
    """Writes the lesions that the command line asks for."""
    parser = Parser(prog="python experiments/label.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--brain", type=Path, required=True, help="brain mask or skull-stripped scan")
    add("--out", type=Path, required=True, help="folder for the labels")
    add("--donors", type=Optional[Path], help="label, or folder of labels, whose lesions are taken")
    add("--label", type=Optional[Path], help="label whose lesion is taken")
    add("--manipulate", type=str, default="", help="changes of --label, such as mirror,grow:1.5")
    add("--count", type=int, default=1, help="number of labels")
    add("--seed", type=int, default=0, help="of what is random")
    add(OPTION, type=str, default="brats2015", help="release of all labels, such as brats2023")
    add("--overwrite", action="store_true", help="replace existing labels")
    add("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    check(options)
    values = np.array(values_in(options.label_scheme, OPTION), np.uint8)
    scan, grid = read_volume_and_grid(options.brain)
    draw = source_of(options, scan)
    names = [f"lesion_{number:03d}.nii.gz" for number in range(options.count)]
    there = [name for name in names if (options.out / name).exists()]
    if there and not options.overwrite:
        raise UserError(
            f"{options.out / there[0]} exists; add --overwrite to replace it, or choose another "
            "--out"
        )
    with replacing_files(options.out, names) as folder:
        for number, name in enumerate(tqdm(names, desc="Lesions", disable=len(names) < 2)):
            rng = np.random.default_rng(derive_seed(options.seed, "lesion", number))
            write_on_grid(folder / name, values[draw(rng)], grid)
    for name in names:
        print(options.out / name)


def check(options: Any) -> None:
    """Raises UserError for options that exclude each other or make no sense."""
    if options.count < 1:
        raise UserError(f"--count is {options.count}; give 1 or more")
    if options.label and options.donors:
        raise UserError("--label and --donors exclude each other; give one of them")
    if options.label and options.count > 1:
        raise UserError(f"--count is {options.count}, but --label gives one lesion; leave it out")
    if options.manipulate and not options.label:
        raise UserError("--manipulate changes the lesion of --label, which is missing; give it")
    check_output_folder("--out", options.out)


def source_of(options: Any, scan: Volume) -> Callable[[np.random.Generator], np.ndarray]:
    """Returns the function from a source of random numbers to a lesion, BRATS 2015's classes.

    Raises UserError for a brain that is empty, or labels that do not lie on its grid.
    """
    inside = scan.array != (background(scan.array) or 0)
    inside = brain_mask(inside[..., None], np.zeros_like(inside))
    if not inside.any():
        raise UserError(f"The brain {options.brain} is empty; give a mask or a skull-stripped scan")

    def read(path: Path) -> np.ndarray:
        label = read_volume(path)
        check_same_geometry({options.brain: scan, path: label})
        return in_organ(to_2015(label.array, options.label_scheme, path), inside)

    if options.label:
        label = read(options.label)
        if options.manipulate:
            label = changed(label, options.manipulate, lambda file: read(Path(file)))
        return lambda rng: lesion_classes(label)
    if options.donors:
        donors = [read(path) for path in label_files("--donors", options.donors)]
        brain = in_organ(np.zeros_like(inside), inside)
        return lambda rng: lesion_classes(random_change(brain, donors, rng).label)
    return lambda rng: random_lesion(inside, rng, scan.spacing[::-1])


def _after_interrupt() -> str:
    return "nothing was written"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

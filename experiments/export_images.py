"""Export a synthetic set as PNG images with labels: classes as CSV, boxes as COCO JSON, masks.

    python experiments/export_images.py --run RUN --out DIR
    python experiments/export_images.py --run RUN --out DIR --selected
    python experiments/export_images.py --run RUN --out DIR --exclude AUDIT/quarantine.csv

RUN is a finished run of train_chest_xray.py, train_lung_ct.py, train_retina.py or
train_tianchi_ct.py. X-rays get labels.csv with a class for each file, CT with boxes
annotations.json in COCO's format (the three channels of an image are neighbouring slices), and
photographs of the retina masks of the field of view and of vessels, which are the lines of their
maps. Images have 8 bits. The folder appears whole or not at all.
"""

import _start

import sys
from pathlib import Path
from typing import Optional

from data.synthetic_sets.export import chosen_samples
from data.synthetic_sets.images import export_images
from experiments.engine.resuming import made_by, run_config
from experiments.systems.structure_gan.images.stages import TRAININGS
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.files import making_folder
from utils.runs.run_directory import RunDirectory


def main() -> None:
    """Writes the images and labels of the set of the run that the command line names."""
    parser = Parser(prog="python experiments/export_images.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--run", type=Path, required=True, help="finished run of the main system")
    add("--out", type=Path, required=True, help="folder for images and labels; must not exist")
    add("--selected", action="store_true", help="leave out samples that are not selected")
    add("--exclude", type=Optional[Path], help="list of samples to leave out, as quarantine.csv")
    add("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    if options.out.exists():
        raise UserError(f"--out {options.out} exists; choose another folder")
    experiment = made_by(options.run, TRAININGS)
    run_config(options.run, experiment.config_type, experiment.script)
    synthetic = RunDirectory(options.run, writes=False).synthetic
    samples = chosen_samples(synthetic, options.exclude, options.selected)
    with making_folder(options.out) as folder:
        count = export_images(synthetic, folder, experiment.data, samples)
    print(f"{count} images: {options.out}")


def _after_interrupt() -> str:
    return "nothing is written; give the same command again"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

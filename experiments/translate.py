"""Translate volumes of one modality to the three others with a trained network.

    python experiments/translate.py --run RUN --input CASE_T2.nii.gz --out DIR
    python experiments/translate.py --run RUN --input FOLDER_OF_CASES --out DIR
    python experiments/translate.py --run RUN --source Flair --input CASE_flair.nii.gz --out DIR

RUN is a finished run of experiments/train_tc_mgan.py, whose source is T2, or of train_early.py,
whose source may be any modality. The input is skull-stripped, on the 1 mm grid of BraTS; every
input is checked before the first is translated. Each output has the input's geometry and format.
Its unit is a thousandth of the brightest value that the network can show, with TC-MGAN in that
slice: then values of different slices or patients are not comparable. A JSON file beside the
outputs holds hashes of input and network. Outputs of the same input and network are kept, so that
the same command goes on after an interrupt. Other files of these names are refused; --overwrite
makes all outputs again.
"""

from __future__ import annotations

import _start

import sys
from functools import partial
from pathlib import Path
from typing import Optional

from tqdm import tqdm

from data.brats.names import MODALITIES
from data.brats.namings import kind_of
from data.brats.subjects import find_scans
from data.brats.translation import VolumeTranslator
from data.volumes import write_on_grid
from experiments.engine.derived import Output, not_there, origin, output_of, write_derived
from experiments.engine.published import run_folder
from experiments.engine.resuming import made_by
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.systems.structure_gan.translating import EarlyTranslator
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from experiments.systems.tc_mgan.translating import Translator
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.outputs import check_output_folder

T2 = "T2"


def main() -> None:
    """Translates every input that the command line names."""
    parser = Parser(prog="python experiments/translate.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--run", type=Path, required=True, help="finished run of train_tc_mgan or train_early")
    add("--input", type=Path, required=True, help="volume of the source, or folder of cases")
    add("--source", choices=list(MODALITIES), default=T2, help="modality of the input")
    add("--out", type=Path, required=True, help="folder for the new volumes")
    add("--batch_size", type=int, default=8, help="slices per forward pass")
    add("--overwrite", action="store_true", help="replace existing outputs")
    add("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    if options.batch_size < 1:
        raise UserError(f"--batch_size is {options.batch_size}; give 1 or more")
    check_output_folder("--out", options.out)
    translator = open_translator(run_folder(options.run), options.source)
    inputs = find_inputs(options.input, translator.slicing.layout, options.source)
    outputs = [
        output_of("--input", path, options.out, case, translator.targets)
        for case, path in inputs.items()
    ]
    missing = not_there(outputs, lambda path: origin(path, translator.network), options.overwrite)
    for output in tqdm(missing, desc="Checking", unit="volume", disable=len(missing) < 2):
        translator.read(output.source)
    for output in missing:
        translate_file(output, translator, options.batch_size)


def open_translator(run: Path, source: str) -> VolumeTranslator:
    """Returns the network of a run; UserError for a source that it does not translate."""
    if made_by(run, (TRAIN_TC_MGAN, TRAIN_EARLY)) is TRAIN_EARLY:
        return EarlyTranslator(run, source)
    if source != T2:
        raise UserError(
            f"--source is {source}, but runs of train_tc_mgan.py translate T2 alone; name a run of "
            "train_early.py"
        )
    return Translator(run)


def find_inputs(path: Path, layout: Optional[str], source: str = T2) -> dict[str, Path]:
    """Returns the volumes that `--input` names, by case; of a single file the case is "".

    A folder has published names or, if the run was given one, its layout.

    Raises UserError if there is none, or if the name of a file tells another modality.
    """
    if not path.exists():
        raise UserError(
            f"--input {path} does not exist; give a {source} volume or a folder of cases"
        )
    if not path.is_file():
        return find_scans(path, source, "--input", layout)
    kind = kind_of(path)
    if kind not in (None, source):
        raise UserError(
            f"--input {path} is by its name a {kind} volume; give the case's {source} volume or "
            "name another --source"
        )
    return {"": path}


def translate_file(output: Output, translator: VolumeTranslator, batch_size: int) -> None:
    """Reads one volume and writes its translations, see `write_derived`.

    Raises UserError as `Translator.read`, or if a file cannot be written.
    """
    source = translator.read(output.source)
    volumes = translator.volumes(source, batch_size)
    write = partial(write_on_grid, grid=source.grid)
    write_derived(output, volumes, write, origin(output.source, translator.network))


def _after_interrupt() -> str:
    return "the volumes named above are whole; give the same command again to make the others"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

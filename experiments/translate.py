"""Translate T2 volumes to Flair, T1c and T1 with a trained TC-MGAN.

    python experiments/translate.py --run RUN --input CASE_T2.nii.gz --out DIR
    python experiments/translate.py --run RUN --input FOLDER_OF_CASES --out DIR

RUN is a finished run of experiments/train_tc_mgan.py. The input is skull-stripped, on the 1 mm grid
of BraTS; every input is checked before the first is translated. Each output has the input's
geometry and format. Its unit is a thousandth of the brightest value that the network can show in
that slice: values of different slices or patients are not comparable. A JSON file beside the
outputs holds hashes of input and network. Outputs of the same input and network are kept, so that
the same command goes on after an interrupt. Other files of these names are refused; --overwrite
makes all outputs again.
"""

from __future__ import annotations

import _start

import sys
from pathlib import Path
from typing import Optional

from tqdm import tqdm

from data.brats.namings import kind_of
from data.brats.subjects import find_scans
from experiments.engine.derived import Output, not_there, origin, output_of, write_derived
from experiments.systems.tc_mgan.translating import Translator
from models.tc_mgan.modalities import TARGETS
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.outputs import check_output_folder


def main() -> None:
    """Translates every input that the command line names."""
    parser = Parser(prog="python experiments/translate.py", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="finished run of train_tc_mgan.py")
    parser.add_argument("--input", type=Path, required=True, help="T2 volume, or folder of cases")
    parser.add_argument("--out", type=Path, required=True, help="folder for the new volumes")
    parser.add_argument("--batch_size", type=int, default=8, help="slices per forward pass")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    if options.batch_size < 1:
        raise UserError(f"--batch_size is {options.batch_size}; give 1 or more")
    check_output_folder("--out", options.out)
    translator = Translator(options.run)
    inputs = find_inputs(options.input, translator.slicing.layout)
    outputs = [
        output_of("--input", path, options.out, case, TARGETS) for case, path in inputs.items()
    ]
    missing = not_there(outputs, lambda path: origin(path, translator.network), options.overwrite)
    for output in tqdm(missing, desc="Checking", unit="volume", disable=len(missing) < 2):
        translator.read(output.source)
    for output in missing:
        translate_file(output, translator, options.batch_size)


def find_inputs(path: Path, layout: Optional[str]) -> dict[str, Path]:
    """Returns the T2 volumes that `--input` names, by case; of a single file the case is "".

    A folder has published names or, if the run was given one, its layout.

    Raises UserError if there is none, or if the name of a file tells that it is no T2 volume.
    """
    if not path.exists():
        raise UserError(f"--input {path} does not exist; give a T2 volume or a folder of cases")
    if not path.is_file():
        return find_scans(path, "T2", "--input", layout)
    kind = kind_of(path)
    if kind not in (None, "T2"):
        raise UserError(f"--input {path} is by its name a {kind} volume; give the case's T2 volume")
    return {"": path}


def translate_file(output: Output, translator: Translator, batch_size: int) -> None:
    """Reads one T2 volume and writes its translations, see `write_derived`.

    Raises UserError as `Translator.read`, or if a file cannot be written.
    """
    source = translator.read(output.source)
    volumes = translator.volumes(source, batch_size)
    write_derived(output, volumes, source.grid, origin(output.source, translator.network))


def _after_interrupt() -> str:
    return "the volumes named above are whole; give the same command again to make the others"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

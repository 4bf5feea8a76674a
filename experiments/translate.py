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

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from tqdm import tqdm

from data.brats.namings import kind_of
from data.brats.subjects import find_scans
from data.volumes import write_on_grid
from experiments.systems.tc_mgan.translating import Translator
from models.tc_mgan.modalities import TARGETS
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json
from utils.runs.outputs import check_output_folder, replacing_files

SUFFIXES = (".nii.gz", ".nii", ".mha")
LONGEST_NAME = 215  # bytes; file systems take 255, and until it is written a file has 34 more
NOTICE = "Volumes made by a neural network; not for diagnosis."


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
    outputs = [output_of(path, options.out, case) for case, path in inputs.items()]
    there = [not options.overwrite and already_there(out, translator.network) for out in outputs]
    missing = [output for output, exists in zip(outputs, there) if not exists]
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


class Output(NamedTuple):
    """Where the translations of a volume go.

    Attributes:
        source: the T2 volume.
        folder: of the translations and their record.
        names: of the translations' files, by modality.
        record: name of the JSON file that tells what they were made from.
    """

    source: Path
    folder: Path
    names: Mapping[str, str]
    record: str


def output_of(path: Path, out: Path, case: str) -> Output:
    """Returns where the translations of a volume go: OUT/<case>/<name>_synthetic_<modality>.

    Raises UserError for a suffix that cannot be written, or a name that is too long.
    """
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise UserError(f"--input {path} must be a volume with the suffix {', '.join(SUFFIXES)}")
    stem = f"{path.name[: -len(suffix)]}_synthetic"
    names = {name: f"{stem}_{name}{suffix}" for name in TARGETS}
    length = max(len(os.fsencode(name)) for name in names.values())
    if length > LONGEST_NAME:
        raise UserError(
            f"--input {path} has a name that is too long for those of its translations; shorten it "
            f"by {length - LONGEST_NAME} bytes"
        )
    return Output(path, out / case, names, f"{stem}{suffix}.json")


def already_there(output: Output, network: str) -> bool:
    """Returns whether a volume's translations exist, and says so.

    Raises UserError for files that were made from something else.
    """
    files = [output.folder / name for name in (*output.names.values(), output.record)]
    present = [file for file in files if file.exists()]
    if present and _record(output.folder / output.record) != origin(output.source, network):
        raise UserError(
            f"{present[0]} exists but is not known to be made from {output.source} by this run; "
            "add --overwrite to replace it, or choose another --out"
        )
    if present != files:
        return False
    for file in files[:-1]:
        print(f"{file} exists and is kept")
    return True


def _record(path: Path) -> object:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def origin(source: Path, network: str) -> dict[str, str]:
    """Returns the record of a volume's translations, which does not name the patient."""
    with source.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return {"notice": NOTICE, "input": digest.hexdigest(), "network": network}


def translate_file(output: Output, translator: Translator, batch_size: int) -> None:
    """Reads one T2 volume and writes its translations; they get their names when all are written.

    Files with these names are replaced. Raises UserError as `Translator.read`, or if a file cannot
    be written.
    """
    source = translator.read(output.source)
    volumes = translator.volumes(source, batch_size)
    # The record comes first: whatever stands beside it is of this making.
    with replacing_files(output.folder, (output.record, *output.names.values())) as folder:
        write_json(folder / output.record, origin(output.source, translator.network))
        for modality, name in output.names.items():
            write_on_grid(folder / name, volumes[modality], source.grid)
    for name in output.names.values():
        print(output.folder / name)


def _after_interrupt() -> str:
    return "the volumes named above are whole; give the same command again to make the others"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

"""Translate T2 volumes to Flair, T1c and T1 with a trained TC-MGAN.

    python experiments/translate.py --run RUN --input CASE_T2.nii.gz --out DIR
    python experiments/translate.py --run RUN --input FOLDER_OF_CASES --out DIR

RUN is a finished run of experiments/train_tc_mgan.py. The input is skull-stripped, on the 1 mm grid
of BraTS; every input is checked before the first is translated. Each output has the input's
geometry and format. Its unit is a thousandth of the brightest value that the network can show in
that slice: slices and patients do not compare. A JSON file beside the outputs holds hashes of input
and network. What the same two have made is kept, so that the same command goes on after an
interrupt. Other files of these names are refused, unless --overwrite says to make everything anew.
"""

from __future__ import annotations

import _start

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.brats.namings import kind_of
from data.brats.slices import SliceConfig
from data.brats.subjects import find_scans
from data.brats.translation import predicted_volume, source_slices
from data.grids import StoredGrid, check_spacing
from data.volumes import read_volume_and_grid, write_on_grid
from experiments.configs.tc_mgan import TranslationConfig
from experiments.engine.resuming import saved_run
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN, evaluated
from models.tc_mgan.gan import TCMGAN
from models.tc_mgan.modalities import NUM_MODALITIES, TARGETS
from utils.config import Parser, from_dict
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json
from utils.runs.names import printable
from utils.runs.outputs import check_output_folder, replacing_files
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import checkpoint_index, load_networks

SUFFIXES = (".nii.gz", ".nii", ".mha")
LONGEST_NAME = 215  # bytes; file systems take 255, and until it is written a file has 34 more
NOTICE = "Volumes made by a neural network; not for diagnosis."
Translate = Callable[[tf.Tensor], tf.Tensor]  # T2 slices [B,h,w] -> the targets [B,h,w,3]


def main() -> None:
    """Translates every input that the command line names."""
    parser = Parser(prog="python experiments/translate.py", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="finished run of train_tc_mgan.py")
    parser.add_argument("--input", type=Path, required=True, help="T2 volume, or folder of cases")
    parser.add_argument("--out", type=Path, required=True, help="folder for the new volumes")
    parser.add_argument("--batch_size", type=int, default=8, help="slices per forward pass")
    parser.add_argument("--overwrite", action="store_true", help="make what exists anew")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    if options.batch_size < 1:
        raise UserError(f"--batch_size is {options.batch_size}; give 1 or more")
    check_output_folder("--out", options.out)
    config = finished_config(options.run)
    inputs = find_inputs(options.input, config.slicing.layout)
    outputs = [output_of(path, options.out, case) for case, path in inputs.items()]
    run = RunDirectory(options.run, writes=False)
    translate, network = load_translator(config, run), network_hash(config, run)
    missing = [out for out in outputs if options.overwrite or not already_there(out, network)]
    bar = tqdm(missing, desc="Checking", unit="volume", disable=len(missing) < 2)
    for output in bar:
        read_slices(output.source, config.slicing)
    for output in missing:
        translate_file(output, network, translate, config.slicing, options.batch_size)


def find_inputs(path: Path, layout: Optional[str]) -> dict[str, Path]:
    """Returns the T2 volumes that `--input` names, by case; of a single file the case is "".

    A folder has published names or, if the run was given one, its layout.

    Raises UserError if there is none, or for a file that its name tells is something else.
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
    """Returns what the record of a volume's translations says: no word on whose it is."""
    with source.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return {"notice": NOTICE, "input": digest.hexdigest(), "network": network}


def network_hash(config: TranslationConfig, run: RunDirectory) -> str:
    """Returns a hash of a run's generator and of how slices are cut for it."""
    digest = hashlib.sha256(json.dumps(asdict(config.slicing)).encode())
    digest.update(checkpoint_index(run.checkpoints("gan")))
    return digest.hexdigest()


def finished_config(path: Path) -> TranslationConfig:
    """Returns the configuration of a finished run; UserError if `--run` names anything else."""
    saved = saved_run(path, "--run needs")
    try:
        config = from_dict(TranslationConfig, saved["config"])
    except UserError as error:
        raise UserError(f"--run {path} is no run of {TRAIN_TC_MGAN.script}: {error}") from error
    if not evaluated(RunDirectory(path, writes=False)):  # else G may be half trained
        raise UserError(
            f"The run {path} is not finished; continue it with python {TRAIN_TC_MGAN.script} "
            f"--out {path} --resume"
        )
    return config


def load_translator(config: TranslationConfig, run: RunDirectory) -> Translate:
    """Returns the compiled generator of a run; UserError if its checkpoint is gone."""
    # What S did is in the generator's weights: the generator alone is that of the variant mgan.
    variant = "mgan" if config.variant.labelled else "pix2pix"
    system = TCMGAN(replace(config.gan, variant=variant), None, total_steps=1)
    load_networks(system, run.checkpoints("gan"))

    @tf.function(autograph=False, reduce_retracing=True)
    def translate(slices: tf.Tensor) -> tf.Tensor:
        images = tf.repeat(slices[..., None], NUM_MODALITIES, axis=-1)  # only T2 is read
        return system.synthesize({"images": images})["images"]

    return translate


class Source(NamedTuple):
    """A T2 volume and its slices.

    Attributes:
        slices: float32 [N,h,w] in [0,1], see `source_slices`.
        axial: int64 [N], the index of each in the volume.
        array: [D,H,W], the volume.
        grid: of its file.
    """

    slices: np.ndarray
    axial: np.ndarray
    array: np.ndarray
    grid: StoredGrid


def read_slices(path: Path, slicing: SliceConfig) -> Source:
    """Reads a T2 volume and cuts its slices.

    Raises UserError for a volume that is damaged, not on the 1 mm grid, with its skull, or that
    holds no brain.
    """
    volume, grid = read_volume_and_grid(path)
    check_spacing(path, volume)
    return Source(*source_slices(volume.array, slicing, path), volume.array, grid)


def translate_file(
    output: Output, network: str, translate: Translate, slicing: SliceConfig, batch_size: int
) -> None:
    """Reads one T2 volume and writes its translations; they get their names when all are written.

    What has these names is replaced. Raises UserError as `read_slices`, or for a file that cannot
    be written.
    """
    slices, axial, array, grid = read_slices(output.source, slicing)
    starts = range(0, len(slices), batch_size)
    bar = tqdm(starts, desc=printable(output.source.name), unit="batch")
    images = np.concatenate([translate(tf.constant(slices[i : i + batch_size])) for i in bar])
    # The record comes first: whatever stands beside it is of this making.
    with replacing_files(output.folder, (output.record, *output.names.values())) as folder:
        write_json(folder / output.record, origin(output.source, network))
        for i, name in enumerate(output.names.values()):
            volume = predicted_volume(images[..., i], axial, array, slicing)
            write_on_grid(folder / name, volume, grid)
    for name in output.names.values():
        print(output.folder / name)


def _after_interrupt() -> str:
    return "the volumes named above are whole; give the same command again to make the others"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

"""Export a run's synthetic set, with real slices on request, for nnU-Net v2 or as plain volumes.

    python experiments/export_nnunet.py --run RUN --out nnUNet_raw/Dataset501_SyntheticBrain
    python experiments/export_nnunet.py --run RUN --out DIR --real          # with training patients
    python experiments/export_nnunet.py --run RUN --out DIR --format mha --volumes
    python experiments/export_nnunet.py --run RUN --out DIR --exclude AUDIT/quarantine.csv

RUN is a finished run of experiments/train_brats.py. The held-out patients are never exported. With
`--real` the folder holds slices of patients: it is as confidential as the data itself. Without it
no file names or shows a patient; the lesion labels are augmented ones of training patients.
"""

from __future__ import annotations

import _start

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from data.brats.dataset import BRATS
from data.pipeline import number_of_slices
from data.synthetic_sets.export import (
    SUFFIXES,
    Grid,
    as_volumes,
    chosen_samples,
    real_cases,
    synthetic_cases,
    write_plain,
)
from data.synthetic_sets.files import MANIFEST, finished_manifest
from data.synthetic_sets.nnunet import FOLDS, write_nnunet
from experiments.configs.brats import BratsConfig
from experiments.engine.cli import default_cache
from experiments.engine.resuming import saved_run
from experiments.engine.run import Run
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from utils.config import Parser, from_dict
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.files import read_json, replacing_folder, write_json, write_text
from utils.runs.outputs import check_output_folder
from utils.runs.run_directory import RunDirectory

NNUNET = "nnunet"
NOTICE = {
    False: "Synthetic slices made by a neural network, labels augmented from real ones; not for "
    "diagnosis. The terms of use of the data that the network learnt from may restrict them.",
    True: "Synthetic slices made by a neural network beside real slices of patients: as "
    "confidential as the real data; not for diagnosis.",
}


@dataclass(frozen=True)
class Options:
    """What the command line asks for, field by field its options."""

    run: Path
    out: Path
    format: str
    volumes: bool
    real: bool
    selected: bool
    exclude: Optional[Path]
    data: Optional[Path]
    cache: Path
    overwrite: bool


def parse() -> Options:
    """Returns the options of the command line; UserError for those that exclude each other."""
    parser = Parser(prog="python experiments/export_nnunet.py", description=__doc__.split("\n")[0])
    add, switch = parser.add_argument, partial(parser.add_argument, action="store_true")
    add("--run", type=Path, required=True, help="finished run of train_brats.py")
    add("--out", type=Path, required=True, help="folder to make, such as Dataset501_Name")
    add("--format", choices=[NNUNET, *SUFFIXES], default=NNUNET, help="layout and type of files")
    switch("--volumes", help="stack slices to volumes (not for nnunet)")
    switch("--real", help="add the training patients' slices: patient data")
    switch("--selected", help="only samples that the lesion filter kept")
    add("--exclude", type=Optional[Path], help="list of samples to leave out, as quarantine.csv")
    add("--data", type=Optional[Path], help="new place of the run's data, read for --real")
    add("--cache", type=Path, default=default_cache(), help="prepared slices and phantom")
    switch("--overwrite", help="replace an earlier export in --out")
    switch("--debug", help="show tracebacks")
    words = vars(parser.parse_args())
    options = Options(**{name: words[name] for name in Options.__dataclass_fields__})
    if options.volumes and options.format == NNUNET:
        raise UserError(
            "--volumes stacks unrelated synthetic slices, from which nnU-Net would learn in 3-D; "
            "leave it out or choose --format nifti or mha"
        )
    return options


def main() -> None:
    """Writes the export, whole or not at all."""
    options = parse()
    check_out(options.out, options.overwrite)
    config = from_dict(BratsConfig, saved_run(options.run, "--run needs")["config"])
    directory = RunDirectory(options.run, writes=False).synthetic
    samples = chosen_samples(directory, options.exclude, options.selected)
    strategy = tf.distribute.get_strategy()
    source = None
    if options.real:
        source = Run.open_finished(TRAIN_BRATS, options.run, strategy, options.cache, options.data)
    with replacing_folder(options.out.resolve()) as folder:
        table = write_cases(options, folder, directory, samples, Grid.of(config.slicing), source)
        write_text(folder / "manifest.csv", table.convert_dtypes().to_csv(index=False))
        total = finished_manifest(directory)["samples"]
        write_json(folder / MANIFEST, manifest(options, table, total - len(samples), config))
    print(f"{options.out}: {len(table)} slices\n{advice(options, source)}".rstrip())


def check_out(out: Path, overwrite: bool) -> None:
    """Raises UserError if `out` holds anything but an export to replace, or cannot be written."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        if not overwrite:
            raise UserError(f"--out {out} exists; add --overwrite or choose another folder")
        if not _is_export(out / MANIFEST):
            raise UserError(f"--out {out} is no earlier export, so it is not replaced; remove it")
    check_output_folder("--out", out.parent)  # where whole folders change their names


def _is_export(manifest: Path) -> bool:
    try:
        return "exported_as" in read_json(manifest)
    except (OSError, ValueError, TypeError):
        return False


def write_cases(
    options: Options,
    folder: Path,
    directory: Path,
    samples: pd.DataFrame,
    grid: Grid,
    source: Optional[Run],
) -> pd.DataFrame:
    """Writes synthetic cases, and real ones of the run `source`; returns the manifest's rows."""
    total = len(samples)
    if source is not None:
        total += number_of_slices(source.prepared, source.split.train)

    def cases():
        with tqdm(total=total, desc="Export", unit="slice") as bar:
            for case in synthetic_cases(directory, samples):
                yield case
                bar.update()
            for case in real_cases(source.prepared, source.split.train) if source else ():
                yield case
                bar.update()

    if options.format == NNUNET:
        return write_nnunet(folder, cases(), BRATS, grid, NOTICE[options.real])
    found = as_volumes(cases()) if options.volumes else cases()
    return write_plain(folder, found, BRATS, grid, SUFFIXES[options.format])


def manifest(
    options: Options, table: pd.DataFrame, left_out: int, config: BratsConfig
) -> dict[str, Any]:
    """Returns manifest.json: what the folder holds, without a word on who is in it."""
    counts: Mapping[str, int] = table["kind"].value_counts()
    grid = Grid.of(config.slicing)
    return {
        "exported_as": options.format,
        "notice": NOTICE[options.real],
        "synthetic_slices": int(counts["synthetic"]),
        "synthetic_slices_left_out": left_out,
        "real_slices": int(counts.get("real", 0)),
        "pixel_mm": grid.spacing[0],
        "between_slices_mm": grid.spacing[2],
        "first_pixel_mm": grid.corner,
        "intensities": "0 to 1",
    }


def advice(options: Options, source: Optional[Run]) -> str:
    """Returns what the user of the export has to know, if anything."""
    if options.format != NNUNET:
        return ""
    if source is None:
        return (
            "without --real there is no real case to validate on: the folds of splits_final.json "
            "have empty lists; train with fold `all` and judge on real cases of your own"
        )
    return (
        f"splits_final.json: up to {FOLDS} folds by patient, validated on real cases only; train "
        "no fold beyond those, for which nnU-Net would draw its own. The GAN has seen these "
        "patients: judge in the end on the part `test` of the run's splits.json, which is not "
        "exported"
    )


def _after_interrupt() -> str:
    return "nothing is exported; give the same command again"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

"""Export a run's synthetic set, with real slices on request, for nnU-Net v2 or as plain volumes.

    python experiments/export_nnunet.py --run RUN --out nnUNet_raw/Dataset501_SyntheticBrain
    python experiments/export_nnunet.py --run RUN --out DIR --real --test      # with patients
    python experiments/export_nnunet.py --run RUN --out DIR --label-scheme brats2023 --regions
    python experiments/export_nnunet.py --run RUN --out DIR --format mha --volumes
    python experiments/export_nnunet.py --run RUN --out DIR --exclude AUDIT/quarantine.csv
    python experiments/export_nnunet.py --run RUN --out DIR --set SET    # of generate.py

RUN is a finished run of experiments/train_brats.py, train_early.py, train_samr.py, train_mm_gan.py
or train_mm_gan_liver.py; the cases of the latter two are whole volumes, which lie where those of
their labels' patients do. With `--real` (training patients) or `--test` (held-out ones, in folders
of their own) the folder holds images of patients: it is as confidential as the data itself. Without
them no file names a patient; the lesion labels are made from those of training patients. Samples of
train_samr.py and train_mm_gan.py have the outline of a training patient's brain besides, and are as
confidential for that.
"""

from __future__ import annotations

import _start

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from data.brats import volumes
from data.brats.dataset import BRATS
from data.brats.label_schemes import SCHEMES, values_in
from data.brats.subjects import grade_of
from data.brats.with_brain import TO_2015, check_core
from data.contract import Config, DataSet
from data.liver_ct.dataset import LIVER_VOLUMES, TO_FILE
from data.nnunet.dataset import with_own_classes
from data.opening import cases_in_use
from data.pipeline import number_of_slices
from data.synthetic_sets.datasheet import export_datasheet
from data.synthetic_sets.export import (
    SUFFIXES,
    Case,
    Grid,
    Target,
    as_volumes,
    chosen_samples,
    label_sources,
    real_cases,
    synthetic_cases,
    value_names,
    write_plain,
)
from data.synthetic_sets.files import DATASHEET, DONOR, MANIFEST, finished_manifest
from data.synthetic_sets.nnunet import SPLITS, check_consecutive, write_nnunet
from experiments.engine.cli import default_cache
from experiments.engine.experiment import Experiment
from experiments.engine.resuming import made_by, run_config
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import set_of
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER, VOLUME_TRAININGS
from experiments.systems.samr.atlas import NAMES_FILE
from experiments.systems.samr.stages import TRAIN_SAMR, description_of
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.files import read_json, read_text, replacing_folder, write_json, write_text
from utils.runs.outputs import check_output_folder
from utils.runs.run_directory import RunDirectory

NNUNET = "nnunet"
SYSTEMS = (TRAIN_BRATS, TRAIN_EARLY, TRAIN_SAMR, *VOLUME_TRAININGS)
SCHEME = "--label-scheme"
BRATS_SCHEME, MERGED_SCHEME = "brats2015", "brats2023"  # without, and with one class for the core
NOTICE = {
    False: "Synthetic {unit} made by a neural network, labels made from real ones; not for "
    "diagnosis. The terms of use of the data that the network learnt from may restrict them.",
    True: "Synthetic {unit} made by a neural network beside real {unit} of patients: as "
    "confidential as the real data; not for diagnosis.",
}


@dataclass(frozen=True)
class Options:
    """What the command line asks for, field by field its options."""

    run: Path
    set: Optional[Path]
    out: Path
    format: str
    volumes: bool
    real: bool
    test: bool
    label_scheme: Optional[str]
    regions: bool
    selected: bool
    exclude: Optional[Path]
    data: Optional[Path]
    cache: Path
    overwrite: bool

    @property
    def patients(self) -> bool:
        """Whether slices of patients are exported."""
        return self.real or self.test


def parse() -> Options:
    """Returns the options of the command line; UserError for those that exclude each other."""
    parser = Parser(prog="python experiments/export_nnunet.py", description=__doc__.split("\n")[0])
    add, switch = parser.add_argument, partial(parser.add_argument, action="store_true")
    add("--run", type=Path, required=True, help="finished run")
    add("--set", type=Optional[Path], help="set of generate.py; default: the run's own")
    add("--out", type=Path, required=True, help="folder to make, such as Dataset501_Name")
    add("--format", choices=[NNUNET, *SUFFIXES], default=NNUNET, help="layout and type of files")
    switch("--volumes", help="stack slices to volumes (not for nnunet)")
    switch("--real", help="add the training patients' slices or volumes: patient data")
    switch("--test", help="add the held-out patients' slices or volumes, apart: patient data")
    schemes = f"{', '.join(SCHEMES)}, or values with names"
    words = f"label values of BRATS to write: {schemes}; default {BRATS_SCHEME}, for runs of "
    add(SCHEME, type=Optional[str], help=f"{words}SAMR and MM-GAN {MERGED_SCHEME}")
    switch("--regions", help="declare whole tumour, core and enhancing tumour (nnunet)")
    switch("--selected", help="only samples that the lesion filter kept")
    add("--exclude", type=Optional[Path], help="list of samples to leave out, as quarantine.csv")
    add("--data", type=Optional[Path], help="new place of the run's data, read for --real, --test")
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
    if options.regions and options.format != NNUNET:
        raise UserError("--regions are declared for nnU-Net; leave out --regions or --format")
    return options


def main() -> None:
    """Writes the export, whole or not at all."""
    options = parse()
    check_out(options.out, options.overwrite)
    experiment = made_by(options.run, SYSTEMS)
    config, saved = run_config(options.run, experiment.config_type, experiment.script)
    directory = set_of(RunDirectory(options.run, writes=False), options.set)
    samples = chosen_samples(directory, options.exclude, options.selected)
    data = options.data or (Path(saved["data"]) if saved["data"] else None)
    if options.volumes and experiment in VOLUME_TRAININGS:
        raise UserError(f"--volumes stacks slices, but {options.run} has volumes; leave it out")
    target = target_of(options, experiment, config, data)
    strategy = tf.distribute.get_strategy()
    source = None
    if options.patients:
        source = Run.open_finished(experiment, options.run, strategy, options.cache, options.data)
    of_the_set = set_datasheet(directory, experiment.script)
    with replacing_folder(options.out.resolve()) as folder:
        slicing = config.slicing
        table = write_cases(options, folder, target, directory, samples, slicing, source)
        write_text(folder / "manifest.csv", table.convert_dtypes().to_csv(index=False))
        total = finished_manifest(directory)["samples"]
        content = manifest(options, table, total - len(samples), target, slicing)
        if options.format == NNUNET:
            content["folds"] = fold_counts(folder)
        write_text(folder / DATASHEET, export_datasheet(content, of_the_set))
        write_json(folder / MANIFEST, content)
    print(f"{options.out}: {len(table)} {target.unit}\n{advice(options, content)}".rstrip())


def target_of(
    options: Options, experiment: Experiment, config: Any, data: Optional[Path]
) -> Target:
    """Returns what the labels of a run become; UserError for options that its labels exclude."""
    described, first_lesion = None, 2
    if experiment is TRAIN_SAMR:
        own = experiment.dataset(config, data)
        check_names(options.run, own, data)
        first_lesion = own.first_lesion
        described = description_of(config, data)
    if described is not None:
        for given, option in ((options.label_scheme, SCHEME), (options.regions, "--regions")):
            if given:
                raise UserError(
                    f"{option} is for labels of BRATS, but those of the run {options.run} are "
                    f"{', '.join(described.labels)}; leave it out"
                )
        dataset, classes = with_own_classes(described)
        classes = for_tissues(classes, first_lesion)
        return Target(dataset, classes, tuple(range(dataset.num_classes)))
    if experiment is TRAIN_MM_GAN_LIVER:
        return liver_target(options)
    merged = experiment not in (TRAIN_BRATS, TRAIN_EARLY)
    scheme = options.label_scheme or (MERGED_SCHEME if merged else BRATS_SCHEME)
    values = values_in(scheme, SCHEME)
    if merged:
        check_core(scheme, SCHEME)
    if options.format == NNUNET:
        check_consecutive(values, f"{SCHEME} {scheme}")
    if experiment is TRAIN_MM_GAN:
        dataset = replace(BRATS, channels=config.made, rank=experiment.data.rank)
        return Target(dataset, volumes.TO_2015, values, scheme)
    classes = for_tissues(TO_2015, first_lesion) if merged else tuple(range(len(values)))
    return Target(BRATS, classes, values, scheme)


def liver_target(options: Options) -> Target:
    """Returns what labels of the liver become; UserError for BRATS' label values."""
    if options.label_scheme:
        raise UserError(
            f"{SCHEME} is for labels of BRATS, but those of the run {options.run} are liver and "
            "lesion; leave it out"
        )
    dataset = replace(
        LIVER_VOLUMES,
        classes=("background", "liver", "lesion"),
        regions={"liver": (1, 2), "lesion": (2,)},
        first_lesion=2,
    )
    return Target(dataset, TO_FILE, (0, 1, 2))


def for_tissues(classes: Sequence[int], first_lesion: int) -> tuple[int, ...]:
    """Returns what each class becomes if brain, class 1, is told apart into several tissues."""
    background, brain, *lesion = classes
    return (background, *[brain] * (first_lesion - 1), *lesion)


def check_names(run: Path, dataset: DataSet, data: Optional[Path]) -> None:
    """Raises UserError if the data is not described as it was when the run began."""
    names = read_json(run / NAMES_FILE, dict)
    if tuple(names["classes"]) != dataset.classes:
        raise UserError(
            f"The run {run} has the labels {', '.join(names['classes'])}, but its data, {data}, "
            f"has {', '.join(dataset.classes)}; name the place of its data with --data"
        )


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


def set_datasheet(directory: Path, script: str) -> str:
    """Returns the datasheet of a synthetic set; UserError if an earlier version left none."""
    path = directory / DATASHEET
    if not path.exists():
        raise UserError(
            f"{path} is missing; python {script} --out {directory.parent} --resume --stages report "
            "writes it"
        )
    return read_text(path)


def write_cases(
    options: Options,
    folder: Path,
    target: Target,
    directory: Path,
    samples: pd.DataFrame,
    slicing: Config,
    source: Optional[Run],
) -> pd.DataFrame:
    """Writes synthetic cases, and real ones of the run `source`; returns the manifest's rows."""
    parts, sources, grades = [], None, {}
    if source is not None:
        split = source.split
        sources = label_sources(source.prepared, split.train, every_slice=DONOR in samples)
        parts += [(split.train, False)] if options.real else []
        parts += [(split.test, True)] if options.test else []
        grades = train_grades(source) if options.real else {}
    notice, channels = NOTICE[options.patients].format(unit=target.unit), target.dataset.channels
    total = sum(number_of_slices(source.prepared, ids) for ids, _ in parts) + len(samples)

    def cases() -> Iterator[Case]:
        with tqdm(total=total, desc="Export", unit="case") as bar:
            for case in synthetic_cases(directory, samples, sources):
                yield target.of(case)
                bar.update()
            for ids, held_out in parts:
                for case in real_cases(source.prepared, ids, held_out, channels):
                    yield target.of(case)
                    bar.update()

    if options.format == NNUNET:
        written = target.values, options.regions, notice, grades
        return write_nnunet(folder, cases(), target.dataset, slicing, *written)
    found = as_volumes(cases()) if options.volumes else cases()
    suffix, grid = SUFFIXES[options.format], Grid.of(slicing)
    return write_plain(folder, found, target.dataset, grid, suffix, target.values)


def train_grades(run: Run) -> dict[int, str]:
    """Returns the grades of a run's training cases by number, those that their folders tell."""
    source = run.data_source()
    if source.folder is None:
        return {}
    grades = {case.id: grade_of(case) for case in cases_in_use(run, source)[0]}
    return {number: grades[case] for number, case in enumerate(run.split.train)}


def manifest(
    options: Options,
    table: pd.DataFrame,
    left_out: int,
    target: Target,
    slicing: Config,
) -> dict[str, Any]:
    """Returns manifest.json: what the folder holds, without a word on who is in it."""
    counts: Mapping[str, int] = table["kind"].value_counts()
    names, grid = value_names(target.dataset, target.values), Grid.of(slicing)
    unit = target.unit
    size = {"voxel_mm": grid.spacing}  # x, y, z
    if target.dataset.rank == 2:
        size = {
            "pixel_mm": grid.spacing[0],
            "between_slices_mm": grid.spacing[2],
            "first_pixel_mm": grid.corner,
        }
    return {
        "exported_as": options.format,
        "notice": NOTICE[options.patients].format(unit=unit),
        f"synthetic_{unit}": int(counts["synthetic"]),
        f"synthetic_{unit}_left_out": left_out,
        f"real_{unit}": int(counts.get("real", 0)),
        f"test_{unit}": int(counts.get("test", 0)),
        "label_scheme": target.scheme,
        "labels": {str(value): name for value, name in names.items()},
        **size,
        "intensities": "0 to 1",
    }


def fold_counts(folder: Path) -> list[dict[str, int]]:
    """Returns how many cases each fold of an export has, by their kinds."""
    everything = {path.name.split(".")[0] for path in (folder / "labelsTr").iterdir()}
    synthetic = {name for name in everything if name.startswith("synthetic")}
    return [
        {
            "synthetic_train": len(synthetic & set(fold["train"])),
            "synthetic_left_out": len(synthetic - set(fold["train"])),
            "real_train": len(set(fold["train"]) - synthetic),
            "real_val": len(fold["val"]),
        }
        for fold in read_json(folder / SPLITS)
    ]


def advice(options: Options, content: Mapping[str, Any]) -> str:
    """Returns what the user of the export has to know, if anything."""
    lines, folds = [], content.get("folds", [])
    merged = [f"{value} is {name}" for value, name in content["labels"].items() if " and " in name]
    if merged:
        scheme = content["label_scheme"]
        lines.append(f"{scheme} has one value for two classes: {', '.join(merged)}")
    if folds and folds[0]["real_val"]:
        total = folds[0]["synthetic_train"] + folds[0]["synthetic_left_out"]
        left_out = ", ".join(str(fold["synthetic_left_out"]) for fold in folds)
        lines.append(
            f"splits_final.json: {len(folds)} folds by patient, validated on real cases only; "
            "train no fold beyond those, for which nnU-Net would draw its own. Synthetic cases "
            f"left out of the training of each fold, as a patient validated there gave their "
            f"label: {left_out} of {total}. The GAN has seen these patients: "
            "judge in the end on held-out ones, which --test adds as imagesTs and labelsTs"
        )
    elif folds:
        why = "with one training patient" if options.real else "without --real"
        judge = "those of imagesTs" if options.test else "real cases of your own, or with --test"
        lines.append(
            f"{why} there is nothing to validate on: the folds of splits_final.json have empty "
            f"lists; train with fold `all` and judge on {judge}"
        )
    return "\n".join(lines)


def _after_interrupt() -> str:
    return "nothing is exported; give the same command again"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

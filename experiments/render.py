"""Draw all modalities of your labels: slice by slice (main system, SAMR), or in 3-D (MM-GAN).

    python experiments/render.py --run RUN --label LESION.nii.gz --out DIR
    python experiments/render.py --run RUN --label LESION.nii.gz --anatomy CASE_T1.nii.gz --out DIR
    python experiments/render.py --run RUN --label SLICE.png --map 7 --out DIR
    python experiments/render.py --run RUN --label FOLDER --manipulate mirror --out DIR

RUN is a finished run of experiments/train_brats.py, train_samr.py, train_mm_gan.py or
train_mm_gan_liver.py, an archive of networks (publish_weights.py), or phantom.

The main system takes a lesion label of a BRATS release: a volume with voxels of 1 mm, or a single
slice (.png, whose greys or colours are classes, or .npz with an array "label"). It draws it in the
brain of --anatomy, a skull-stripped scan on the label's grid or a folder with one case, or in a
random brain (--map). A lesion that lies outside of the brain is refused, or cut off with --clip.
Slices of a volume are drawn one by one, with one noise and with maps whose code turns a little from
slice to slice, so that a stack looks like a volume; what neighbours differ by is printed beside
what those of real patients do.

SAMR and MM-GAN take the brain from the label: a volume on the 1 mm grid of BraTS, for MM-GAN on
any grid. It holds the run's classes (SAMR: 0 background, 1 brain, 2 oedema, 3 core, 4 enhancing;
MM-GAN: 0 background, 1 core, 2 oedema, 3 brain, 4 enhancing; of the liver 0 background, 1 body, 2
liver, 3 lesion), or with --anatomy those of a BRATS release (of other data, SAMR: the lesion's
classes, numbered from 1); a brain mask will do there.

--manipulate changes the lesion first: mirror, grow:FACTOR, shrink:FACTOR (of its volume),
move:ROWS:COLUMNS (voxels, with a third number before them: slices), donor:FILE (the lesion of
another label instead), combine:FILE (beside the own one), one after the other.

For each input the modalities and the label that they show are written with its geometry and
format; what lies beyond the slices or the crop of the run stays black. Intensities of volumes are
thousandths of the brightest that the network can show. A JSON file beside them holds hashes of
input and network. Outputs of the same input, network and changes are kept, so that the same command
goes on after an interrupt. The Dice that is printed tells how much of the lesion the run's
segmenters find in what was made; that of real ones is in the run's report.
"""

import _start

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

from tqdm import tqdm

from data.brats.label_slices import NPZ, SLICE_SUFFIXES, is_slice, write_slice
from data.brats.subjects import find_scans
from data.manipulation import changed, donor_files
from data.volumes import SUFFIXES, write_on_grid
from experiments.engine.derived import (
    Output,
    file_hash,
    label_files,
    not_there,
    origin,
    output_of,
    write_derived,
)
from experiments.engine.published import run_folder
from experiments.engine.resuming import made_by
from experiments.systems.mm_gan.stages import VOLUME_TRAININGS
from experiments.systems.mm_gan.synthesizing import VolumeSynthesizer
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.samr.synthesizing import Synthesizer
from experiments.systems.structure_gan.rendering import TURN
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.systems.structure_gan.synthesizing import RANDOM, LabelSynthesizer
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.outputs import check_output_folder

# Options that the main system alone has, with their defaults.
MAPS = {"map": RANDOM, "turn": TURN, "clip": False}


def parse() -> Any:
    """Returns the options; UserError for values or files that cannot be used."""
    parser = Parser(prog="python experiments/render.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--run", type=Path, required=True, help="finished run of the main system, SAMR or MM-GAN")
    add("--label", type=Path, required=True, help="label, a volume or slice, or folder of them")
    add("--out", type=Path, required=True, help="folder for what is made")
    add("--anatomy", type=Optional[Path], help="skull-stripped scan, or folder with one case")
    add("--map", type=str, default=RANDOM, help="number of a random brain; random: a fitting one")
    add("--turn", type=float, default=TURN, help="degrees by which a random code turns per slice")
    add("--clip", action="store_true", help="leave out what of a lesion lies outside of the brain")
    add("--label_scheme", type=Optional[str], help="release of a lesion label, such as brats2023")
    add(
        "--manipulate",
        type=str,
        default="",
        help="such as mirror,grow:1.5,shrink:0.5,move:10:-4,donor:FILE; see docs/running.md",
    )
    add(
        "--batch_size",
        type=Optional[int],
        help="slices per forward pass (default: 8; MM-GAN: all, fewer take less memory, on disk)",
    )
    add("--overwrite", action="store_true", help="replace existing outputs")
    add("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    if options.batch_size is not None and options.batch_size < 1:
        raise UserError(f"--batch_size is {options.batch_size}; give 1 or more")
    if not 0 <= options.turn <= 90:
        raise UserError(f"--turn is {options.turn}; give degrees from 0 to 90")
    check_output_folder("--out", options.out)
    if options.anatomy and options.label.is_dir():
        raise UserError(
            f"--anatomy {options.anatomy} is of one patient, but --label {options.label} is a "
            "folder; give one label at a time"
        )
    if options.anatomy and options.map != RANDOM:
        raise UserError("--anatomy and --map exclude each other; give one of them")
    if options.anatomy and not options.anatomy.exists():
        raise UserError(f"--anatomy {options.anatomy} does not exist; give a scan or a case")
    return options


def open_synthesizer(options: Any) -> Any:
    """Returns what draws labels with the networks of the run.

    Raises UserError for a run of another script, or for options that its system does not have.
    """
    experiment = made_by(options.run, (TRAIN_BRATS, TRAIN_SAMR, *VOLUME_TRAININGS))
    if experiment is TRAIN_BRATS:
        return LabelSynthesizer(options.run, options.map, options.turn, options.clip)
    given = [name for name, default in MAPS.items() if options[name] != default]
    if given:
        raise UserError(
            f"--{given[0]} is for runs of {TRAIN_BRATS.script}, but {options.run} is one of "
            f"{experiment.script}, whose labels hold the brain; leave it out"
        )
    return (Synthesizer if experiment is TRAIN_SAMR else VolumeSynthesizer)(options.run)


def main() -> None:
    """Draws the modalities of every label that the command line names."""
    options = parse()
    options.run = run_folder(options.run)
    synthesizer = open_synthesizer(options)
    slices = isinstance(synthesizer, LabelSynthesizer)
    suffixes = (*SUFFIXES, *SLICE_SUFFIXES) if slices else SUFFIXES
    anatomy = scan_of(options.anatomy)

    def read(path: Path) -> Any:
        return synthesizer.read(Path(path), anatomy, options.label_scheme)

    def changed_source(path: Path) -> Any:
        source = read(path)
        if not options.manipulate:
            return source
        label = changed(
            source.label,
            options.manipulate,
            lambda file: read(file).label,
            synthesizer.first_lesion,
        )
        return source._replace(label=label)

    def record_of(path: Path) -> dict[str, str]:
        donors = map(Path, donor_files(options.manipulate))
        maps = {name: str(options[name]) for name in MAPS} if slices else {}
        return origin(
            path,
            synthesizer.network,
            manipulate=without_folders(options.manipulate),
            donors=" ".join(file_hash(file) for file in donors if file.is_file()),
            anatomy=file_hash(anatomy) if anatomy else "",
            label_scheme=options.label_scheme or "",
            **maps,
        )

    outputs = [
        output_of("--label", path, options.out, "", kinds_of(path, synthesizer), suffixes)
        for path in label_files("--label", options.label, suffixes)
    ]
    missing = not_there(outputs, record_of, options.overwrite)
    for output in tqdm(missing, desc="Checking", unit="label") if len(missing) > 1 else ():
        changed_source(output.source)
    for output in tqdm(missing, desc="Drawing", unit="label", disable=len(missing) < 2):
        draw(output, changed_source(output.source), synthesizer, options.batch_size, record_of)


def draw(
    output: Output,
    source: Any,
    synthesizer: Any,
    batch_size: Optional[int],
    record_of: Callable[[Path], dict[str, str]],
) -> None:
    """Draws and writes the modalities of one label, and prints what segmenters find in them.

    Raises UserError if a file cannot be written.
    """
    made = synthesizer.make(source, batch_size)
    contents, write = made.volumes, write_slice
    if not is_slice(output.source):
        write = partial(write_on_grid, grid=source.grid)
    elif output.source.suffix.lower() == NPZ:
        contents = {"slice": synthesizer.as_sample(made.volumes)}
    write_derived(output, contents, write, record_of(output.source))
    scores = ", ".join(f"{name} {score:.2f}" for name, score in (made.dice or {}).items())
    if made.dice is None:
        scores = "not measured, as --batch_size makes slabs"
    elif not scores:
        beyond = (source.label >= synthesizer.first_lesion).any()
        scores = "no lesion is shown" + (", it lies beyond what the run draws" * int(beyond))
    print(f"{output.source}: Dice of the run's segmenter: {scores}")


def kinds_of(path: Path, synthesizer: Any) -> Sequence[str]:
    """Returns the words for what is made of a label, a file each; of .npz all are in one file."""
    return ("slice",) if path.suffix.lower() == NPZ else (*synthesizer.sequences, "label")


def scan_of(anatomy: Optional[Path]) -> Optional[Path]:
    """Returns the scan that `--anatomy` names, of a case's folder its T1.

    Raises UserError for a folder without a case, or with several.
    """
    if anatomy is None or not anatomy.is_dir():
        return anatomy
    found = find_scans(anatomy, "T1", "--anatomy")
    if len(found) > 1:
        raise UserError(
            f"--anatomy {anatomy} holds {len(found)} cases ({', '.join(list(found)[:3])}, ...); "
            "give the folder of one, or a scan"
        )
    return next(iter(found.values()))


def without_folders(changes: str) -> str:
    """Returns changes in words with the donors' files by their names alone."""
    for file in donor_files(changes):
        changes = changes.replace(file, Path(file).name)
    return changes


def _after_interrupt() -> str:
    return "the files named above are whole; give the same command again to make the others"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

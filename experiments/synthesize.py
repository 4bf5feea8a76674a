"""Make registered sequences of label volumes with a trained SAMR or MM-GAN.

    python experiments/synthesize.py --run RUN --labels LABEL.nii.gz --out DIR
    python experiments/synthesize.py --run RUN --labels SEG.nii.gz --brain T1.nii.gz --out DIR
    python experiments/synthesize.py --run RUN --labels FOLDER --manipulate mirror --out DIR

RUN is a finished run of experiments/train_samr.py, train_mm_gan.py or train_mm_gan_liver.py. A
label volume is on the 1 mm grid of BraTS, for MM-GAN on any. It holds the run's classes (SAMR: 0
background, 1 brain, 2 oedema, 3 core, 4 enhancing; MM-GAN: 0 background, 1 core, 2 oedema, 3 brain,
4 enhancing; of the liver 0 background, 1 body, 2 liver, 3 lesion), or with --brain those of a BRATS
release (of other data, SAMR: the lesion's classes, numbered from 1). --manipulate changes the
lesion first: mirror, grow:FACTOR, shrink:FACTOR (of its volume), move:ROWS:COLUMNS (voxels, with a
third number before them: slices), donor:FILE (the lesion of another label volume), one after the
other.

For each input the sequences and the label that they show are written with its geometry and format;
what lies beyond the slices or the crop of the run stays black. Intensities are thousandths of the
brightest that the network can show. A JSON file beside them holds hashes of input and network.
Outputs of the same input, network and changes are kept, so that the same command goes on after an
interrupt. The Dice that is printed tells how much of the lesion the run's segmenters find in what
was made; that of real ones is in the run's report.
"""

import _start

import sys
from pathlib import Path
from typing import Any, Optional, Union

from tqdm import tqdm

from data.manipulation import changed, donor_files
from data.volumes import SUFFIXES
from experiments.engine.derived import file_hash, not_there, origin, output_of, write_derived
from experiments.engine.resuming import made_by
from experiments.systems.mm_gan.stages import VOLUME_TRAININGS
from experiments.systems.mm_gan.synthesizing import VolumeSource, VolumeSynthesizer
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.samr.synthesizing import Source, Synthesizer
from utils.config import Parser
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.outputs import check_output_folder


def parse() -> Any:
    """Returns the options; UserError for values or files that cannot be used."""
    parser = Parser(prog="python experiments/synthesize.py", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="finished run of SAMR or MM-GAN")
    parser.add_argument(
        "--labels", type=Path, required=True, help="label volume, or folder of them"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the new volumes")
    parser.add_argument("--brain", type=Optional[Path], help="brain mask or skull-stripped scan")
    parser.add_argument(
        "--label_scheme",
        type=Optional[str],
        help="release of labels with --brain, such as brats2023",
    )
    parser.add_argument(
        "--manipulate",
        type=str,
        default="",
        help="such as mirror,grow:1.5,shrink:0.5,move:10:-4,donor:FILE; see docs/running.md",
    )
    parser.add_argument(
        "--batch_size",
        type=Optional[int],
        help="slices per forward pass (default: 8; MM-GAN: all, fewer take less memory, on disk)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    if options.batch_size is not None and options.batch_size < 1:
        raise UserError(f"--batch_size is {options.batch_size}; give 1 or more")
    check_output_folder("--out", options.out)
    if options.brain and options.labels.is_dir():
        raise UserError(
            f"--brain {options.brain} is of one patient, but --labels {options.labels} is a "
            "folder; give one label at a time, or labels that hold the brain"
        )
    if options.brain and not options.brain.is_file():
        raise UserError(f"--brain {options.brain} is not a file; give a mask or a scan")
    return options


def main() -> None:
    """Makes the sequences of every label volume that the command line names."""
    options = parse()
    volumes = made_by(options.run, (TRAIN_SAMR, *VOLUME_TRAININGS)) in VOLUME_TRAININGS
    synthesizer = (VolumeSynthesizer if volumes else Synthesizer)(options.run)

    def read(path: Path) -> Union[Source, VolumeSource]:
        return synthesizer.read(Path(path), options.brain, options.label_scheme)

    def changed_source(path: Path) -> Union[Source, VolumeSource]:
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
        brain = file_hash(options.brain) if options.brain else ""
        donors = map(Path, donor_files(options.manipulate))
        return origin(
            path,
            synthesizer.network,
            manipulate=without_folders(options.manipulate),
            donors=" ".join(file_hash(file) for file in donors if file.is_file()),
            brain=brain,
            label_scheme=options.label_scheme or "",
        )

    kinds = (*synthesizer.sequences, "label")
    outputs = [
        output_of("--labels", path, options.out, "", kinds) for path in find_labels(options.labels)
    ]
    missing = not_there(outputs, record_of, options.overwrite)
    for output in tqdm(missing, desc="Checking", unit="volume", disable=len(missing) < 2):
        changed_source(output.source)
    for output in tqdm(missing, desc="Synthesizing", unit="volume", disable=len(missing) < 2):
        source = changed_source(output.source)
        made = synthesizer.make(source, options.batch_size)
        write_derived(output, made.volumes, source.grid, record_of(output.source))
        scores = ", ".join(f"{name} {score:.2f}" for name, score in (made.dice or {}).items())
        if made.dice is None:
            scores = "not measured, as --batch_size makes slabs"
        elif not scores:
            beyond = (source.label >= synthesizer.first_lesion).any()
            scores = "no lesion is shown" + (", it lies beyond what the run draws" * int(beyond))
        print(f"{output.source}: Dice of the run's segmenter: {scores}")


def without_folders(changes: str) -> str:
    """Returns changes in words with the donors' files by their names alone."""
    for file in donor_files(changes):
        changes = changes.replace(file, Path(file).name)
    return changes


def find_labels(path: Path) -> list[Path]:
    """Returns the label volumes that `--labels` names; UserError if there is none."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob("*") if file.name.lower().endswith(SUFFIXES))
    if not found:
        raise UserError(
            f"--labels {path} must be a label volume or a folder of them ({', '.join(SUFFIXES)}), "
            "found none; check the path"
        )
    return found


def _after_interrupt() -> str:
    return "the volumes named above are whole; give the same command again to make the others"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

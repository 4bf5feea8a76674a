"""Train nnU-Net v2 on real, real + synthetic, and synthetic slices; score it on held-out patients.

    python experiments/export_nnunet.py --run RUN --real --test --out EXPORT
    python experiments/judge_nnunet.py --export EXPORT --out DIR --python JUDGE/bin/python
    python experiments/judge_nnunet.py --export EXPORT --out DIR --python .. --table5 TABLE5

An independent judge: nnU-Net chooses its network, patches and augmentation itself. It needs an
environment of its own, which `--python` names:

    python -m venv JUDGE && JUDGE/bin/pip install torch nnunetv2

All mixtures see the same number of batches. Results: judge.csv and judge.md in DIR; finished
mixtures are kept, so the same command goes on after a stop.
"""

from __future__ import annotations

import _start

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import SimpleITK as sitk

from data.brats.dataset import BRATS
from data.brats.names import REGIONS
from data.grids import SPACING
from data.slice_sets import Slices
from data.synthetic_sets.files import MANIFEST
from data.synthetic_sets.nnunet import ENDING
from experiments.engine.volumes import score_volumes, volume_figures
from utils.config import Parser
from utils.errors import UserError
from utils.reporting.tables import bullets, markdown_table, page, write_table
from utils.runs.exits import exit_code
from utils.runs.files import read_json, replacing_folder, write_json
from utils.runs.outputs import check_output_folder
from utils.runs.results import kept
from utils.runs.run_directory import RunDirectory

RUNNER = Path(__file__).with_name("_nnunet.py")
# Mixture -> the kinds of training cases in it, and the row of Table 5 with the same mixture.
MIXTURES = {
    "real": (("real",), "row_01"),
    "real_and_synthetic": (("real", "synthetic"), "row_15"),
    "synthetic": (("synthetic",), "row_03"),
}
# Of the whole tumour, its core and the enhancing tumour, each.
SHOWN = tuple(
    f"{score}_{region}" for score in ("dice", "hd95", "lesionwise_dice") for region in REGIONS
)


@dataclass(frozen=True)
class Options:
    """What the command line asks for, field by field its options."""

    export: Path
    out: Path
    python: str
    epochs: int
    iterations: int
    device: str
    seed: int
    mixtures: str
    table5: Optional[Path]


def parse() -> Options:
    """Returns the options of the command line; UserError for unknown mixtures or lengths."""
    parser = Parser(prog="python experiments/judge_nnunet.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--export", type=Path, required=True, help="folder of export_nnunet.py --real --test")
    add("--out", type=Path, required=True, help="folder for nnU-Net's files and the results")
    add("--python", type=str, default=sys.executable, help="Python of nnU-Net's environment")
    add("--epochs", type=int, default=5, help="epochs of each mixture (nnU-Net's own: 1000)")
    add("--iterations", type=int, default=250, help="batches per epoch")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="where torch computes")
    add("--seed", type=int, default=0, help="of weights and batches; nnU-Net repeats only roughly")
    add("--mixtures", type=str, default=",".join(MIXTURES), help=f"some of {','.join(MIXTURES)}")
    add("--table5", type=Optional[Path], help="finished Table 5, to stand beside")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    words = vars(parser.parse_args())
    options = Options(**{name: words[name] for name in Options.__dataclass_fields__})
    if not set(options.mixtures.split(",")) <= set(MIXTURES):
        raise UserError(f"--mixtures is {options.mixtures!r}; give some of {','.join(MIXTURES)}")
    if min(options.epochs, options.iterations) < 1:
        raise UserError(
            f"--epochs is {options.epochs} and --iterations {options.iterations}; give 1 or more"
        )
    return options


def main() -> None:
    """Judges the mixtures one after the other, or says that nnU-Net is not installed."""
    options = parse()
    cases = exported_cases(options.export)
    ours = table5_figures(options.table5) if options.table5 else {}
    missing = why_missing(options.python)
    if missing:
        print(f"skipped: {missing}")
        return
    check_output_folder("--out", options.out)
    settings, scores = {"export": fingerprint(options.export), **_settings(options)}, {}
    for mixture in options.mixtures.split(","):

        def judged(mixture: str = mixture) -> Mapping[str, float]:
            return label_scores(options.export, cases, predicted(options, mixture, cases))

        scores[mixture] = kept(options.out / "mixtures" / f"{mixture}.json", judged, settings)
    write(options, scores, ours)


def _settings(options: Options) -> dict[str, Any]:
    return {k: v for k, v in asdict(options).items() if k in ("epochs", "iterations", "seed")}


def fingerprint(export: Path) -> str:
    """Returns a hash of an export's files: names, sizes, and the bytes of all but the images."""
    digest = hashlib.sha256()
    for path in sorted(export.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(export)} {path.stat().st_size}".encode())
            digest.update(b"" if path.parent.name.startswith("images") else path.read_bytes())
    return digest.hexdigest()[:16]


def exported_cases(export: Path) -> pd.DataFrame:
    """Returns the rows of an export's manifest.csv: training cases and held-out ones.

    Raises UserError if it is no export for nnU-Net with classes 0..4, real and held-out cases.
    """
    plain = {name: number for number, name in enumerate(BRATS.classes)}
    try:
        read_json(export / MANIFEST)
        table = pd.read_csv(export / "manifest.csv")
        kinds, description = set(table["kind"]), export / "dataset.json"
        labels = read_json(description, dict)["labels"] if description.exists() else "no"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--export {export} is no export of experiments/export_nnunet.py"
        ) from error
    if not {"real", "synthetic", "test"} <= kinds:
        raise UserError(
            f"--export {export} has {', '.join(sorted(kinds))} cases, the judge needs real, "
            "synthetic and test ones: export with --real --test"
        )
    if labels != plain:
        raise UserError(
            f"--export {export} is not for nnU-Net with the labels 0 to {max(plain.values())}: "
            "export a run of train_brats.py without --format, --regions and --label-scheme"
        )
    return table


def table5_figures(path: Path) -> Mapping[str, float]:
    """Returns the metrics of a run of Table 5; UserError if it is none."""
    figures = RunDirectory(path, writes=False).read_metrics()
    if not any(key.startswith("table5/") for key in figures):
        raise UserError(f"--table5 {path} has no rows of Table 5; name a run of table5_mixing.py")
    return figures


def why_missing(python: str) -> str:
    """Returns why nnU-Net cannot run there, as a sentence; "" if it can."""
    try:
        done = subprocess.run(
            [python, "-c", "import torch, nnunetv2"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return f"--python {python} cannot be started ({error.strerror}); name another"
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return (
        f"{python} has no nnU-Net v2 ({last}); make an environment for it (`python -m venv JUDGE "
        "&& JUDGE/bin/pip install torch nnunetv2`) and name its Python with --python"
    )


def predicted(options: Options, mixture: str, cases: pd.DataFrame) -> Path:
    """Trains nnU-Net on a mixture and returns the folder of its labels of the held-out cases.

    Raises UserError if it fails; its own messages are in <mixture>.log.
    """
    out, number = options.out.resolve(), 501 + list(MIXTURES).index(mixture)
    name = f"Dataset{number}_{mixture}"
    raw = out / "raw" / name
    raw.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(raw) as folder:  # also one of another export
        copy_mixture(options.export.resolve(), folder, cases, MIXTURES[mixture][0])
    for kind in ("preprocessed", "results", "predictions"):
        rest = out / kind / (mixture if kind == "predictions" else name)
        shutil.rmtree(rest, ignore_errors=True)
    request = {
        "dataset": number,
        "name": name,
        **_settings(options),
        "device": options.device,
        "images": str(options.export.resolve() / "imagesTs"),
        "predictions": str(out / "predictions" / mixture),
    }
    write_json(out / f"{mixture}.request.json", request)
    places = {f"nnUNet_{kind}": str(out / kind) for kind in ("raw", "preprocessed", "results")}
    quiet = {"nnUNet_compile": "f", "nnUNet_n_proc_DA": "1"}
    log = out / f"{mixture}.log"
    print(f"{mixture}: nnU-Net trains on {number_of(cases, mixture)} slices, see {log}", flush=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [options.python, str(RUNNER), str(out / f"{mixture}.request.json")],
            env={**os.environ, **places, **quiet},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise UserError(f"nnU-Net failed on the mixture {mixture}; {log} has its messages")
    return out / "predictions" / mixture


def number_of(cases: pd.DataFrame, mixture: str) -> int:
    """Returns the number of training slices of a mixture."""
    return int(cases["kind"].isin(MIXTURES[mixture][0]).sum())


def copy_mixture(export: Path, folder: Path, cases: pd.DataFrame, kinds: Sequence[str]) -> None:
    """Makes a raw data set of some kinds of training cases, as links to the export's files."""
    names = set(cases.loc[cases["kind"].isin(kinds), "case"])
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir()
        for path in (export / part).iterdir():
            stem = path.name[: -len(ENDING)]
            if (stem.rpartition("_")[0] if part == "imagesTr" else stem) in names:
                (folder / part / path.name).symlink_to(path)
    description = {**read_json(export / "dataset.json"), "numTraining": len(names)}
    write_json(folder / "dataset.json", description)


def label_scores(export: Path, cases: pd.DataFrame, predictions: Path) -> dict[str, float]:
    """Returns `volume_figures` of predicted labels of the held-out scans, `volume/<figure>`.

    Raises UserError if labels are missing.
    """
    table = cases[cases["kind"] == "test"]
    pairs = []
    for name in table["case"]:
        path = predictions / f"{name}{ENDING}"
        if not path.exists():
            raise UserError(f"nnU-Net left no {path}; remove {predictions} and start again")
        pairs.append([_read(path), _read(export / "labelsTs" / path.name)])
    found, label = (np.stack(part) for part in zip(*pairs))
    slices = Slices(
        np.zeros((*label.shape, 0)),
        label,
        subjects=table["patient"].to_numpy(int),
        index=table["slice"].to_numpy(int),
    )
    pixel = read_json(export / MANIFEST)["pixel_mm"]
    volumes = score_volumes(slices, found[..., None], BRATS, (SPACING, pixel, pixel))
    return volume_figures(volumes, "volume")


def _read(path: Path) -> np.ndarray:
    """Returns the label [H,W] of a slice."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0].astype(np.uint8)


def write(
    options: Options, scores: Mapping[str, Mapping[str, float]], ours: Mapping[str, float]
) -> None:
    """Writes judge.csv and judge.md and prints the page."""
    lines = []
    for mixture, found in scores.items():
        line: dict[str, Any] = {"training data": mixture.replace("_", " ")}
        line.update({f"nnU-Net {key}": found.get(f"volume/{key}", np.nan) for key in SHOWN})
        for key in SHOWN[:3] if ours else ():
            line[f"ours {key}"] = ours.get(f"table5/{MIXTURES[mixture][1]}/volume_{key}", np.nan)
        lines.append(line)
    frame = pd.DataFrame(lines)
    notice = read_json(options.export / MANIFEST)["notice"]
    notes = [
        f"nnU-Net v2, 2d, fold all, its own augmentation; {options.epochs} epoch(s) of "
        f"{options.iterations} batches in every mixture (nnU-Net's own length: 1000 of 250); seed "
        f"{options.seed}.",
        "Scores: volumes of held-out scans, mean over scans (`utils.metrics.volumes`).",
        *(["Ours: the U-Net of Table 5 on the same mixtures, rows 1, 15 and 3."] if ours else []),
        notice,
    ]
    text = page(["# nnU-Net as judge", markdown_table(frame), bullets(notes)])
    write_table(options.out / "judge", frame, text)
    print(f"\n{text}\n{options.out / 'judge'}.md")


def _after_interrupt() -> str:
    return "finished mixtures are kept; give the same command again"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

"""Check a data set before anything trains on it.

    python experiments/verify_data.py --data BRATS2015
    python experiments/verify_data.py --data DIR --out verdicts.csv
    python experiments/verify_data.py --data DIR --slicing.label_scheme brats2023
    python experiments/verify_data.py --data DIR --slicing.layout names.yaml
    python experiments/verify_data.py --dataset chest_xray --data DIR  # and others, see --help

Every file is decoded and compared with its header; then modalities, grids, voxel values, labels and
the number of slices are checked, as training with the same --slicing does. Notes report what is
special in how a valid case is read and prepared, such as a background that is not the minimum. The
exit code is 2 when something is wrong, or when no case has a lesion.
"""

from __future__ import annotations

import _start

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import make_dataclass
from pathlib import Path
from typing import NamedTuple, Optional

from data.brats.dataset import BRATS
from data.brats.slices import SliceConfig
from data.chest_xray.dataset import CHEST_XRAY, XrayConfig
from data.contract import IMAGE, DataSet
from data.liver_ct.dataset import LIVER_VOLUMES, LiverConfig
from data.lung_ct.dataset import LUNG_CT, CtConfig
from data.retina.dataset import RETINA, VESSELS, RetinaConfig
from data.tianchi_ct.dataset import TIANCHI_CT
from data.verdicts import Verdict, notes_once, what_is_learnt
from utils.config import Parser, add_config, from_namespace
from utils.errors import UserError
from utils.reporting.tables import spreadsheet_text
from utils.runs.environment import default_cache
from utils.runs.exits import exit_code
from utils.runs.files import write_text
from utils.runs.names import printable
from utils.runs.outputs import check_output_file

COLUMNS = ("case", "verdict", "slices with lesion", "problems", "files", "notes")

NAMED = 5  # cases without lesion that the last line names


class Known(NamedTuple):
    """A data set, and the class of the settings with which it is read."""

    dataset: DataSet
    slicing: type


DATASETS = {
    "brats": Known(BRATS, SliceConfig),
    "chest_xray": Known(CHEST_XRAY, XrayConfig),
    "liver_ct": Known(LIVER_VOLUMES, LiverConfig),
    "lung_ct": Known(LUNG_CT, CtConfig),
    "retina": Known(RETINA, RetinaConfig),
    "drive": Known(VESSELS, RetinaConfig),
    "tianchi_ct": Known(TIANCHI_CT, CtConfig),
}


def chosen_dataset(argv: Optional[Sequence[str]]) -> Known:
    """Returns the data set that --dataset names; the options depend on it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--dataset", default="brats")
    name = parser.parse_known_args(argv)[0].dataset
    if name not in DATASETS:
        raise UserError(f"--dataset is {name!r}; give one of {', '.join(DATASETS)}")
    return DATASETS[name]


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Checks every case of a data folder; UserError if one is bad."""
    program, description = "python experiments/verify_data.py", __doc__.split("\n")[0]
    parser = Parser(prog=program, description=description, allow_abbrev=False)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data folder")
    add("--dataset", default="brats", help=f"what it holds: {', '.join(DATASETS)}")
    add("--out", type=Optional[Path], help="CSV file for the verdicts; default: none is written")
    add("--overwrite", action="store_true", help="replace the file that --out names")
    add("--cache", type=Path, default=default_cache(), help="verdicts that training uses again")
    add("--debug", action="store_true", help="show tracebacks")
    dataset, slicing = chosen_dataset(argv)
    # What training would use.
    config_type = make_dataclass("VerificationConfig", [("slicing", slicing, slicing())])
    add_config(parser, config_type())
    options = parser.parse_args(argv)
    config = from_namespace(config_type, options).slicing
    if options.out:
        check_output_file("--out", options.out, options.overwrite)
    root = options.data.expanduser().resolve()
    if not root.is_dir():
        raise UserError(f"{options.data} does not exist or is not a folder; check --data")
    cases = dataset.find(root, config)
    verdicts = dataset.verify(cases, config, options.cache, again=True)
    print(screen_table(verdicts, root), end="")
    for text in notes_once(verdicts):
        print(printable(text))
    if options.out:
        write_text(options.out, csv_table(verdicts, root))
        print(f"verdicts: {options.out}")
    bad = sum(bool(verdict.problems) for verdict in verdicts)
    if bad:
        good = len(cases) - bad
        others = f", or train on the other {good} with --skip-bad" if good > 1 else ""
        raise UserError(
            f"{bad} of the {len(cases)} cases in {root} {'is' if bad == 1 else 'are'} bad; do what "
            f"their verdicts say{others}"
        )
    dataset.settle(cases, config)  # refuses cases that contradict each other
    if dataset.has_label:
        tell = dataset.label_kind != IMAGE  # of images, some are normal
        _check_lesions(verdicts, root, what_is_learnt(dataset), tell)
    print(f"All {len(cases)} cases in {printable(str(root))} are good.")


def _check_lesions(verdicts: Sequence[Verdict], root: Path, wanted: str, tell: bool) -> None:
    """Prints, where it is to `tell`, how many cases lack what networks learn from.

    `wanted` is that, see `what_is_learnt`. Raises UserError if none has it.
    """
    empty = [verdict.case.id for verdict in verdicts if not verdict.lesions]
    if len(empty) == len(verdicts):
        raise UserError(f"none of the {len(verdicts)} cases in {root} has {wanted}")
    if empty and tell:
        names = f"{', '.join(map(printable, empty[:NAMED]))}{', ...' * (len(empty) > NAMED)}"
        print(
            f"{len(empty)} of {len(verdicts)} cases ({names}) do not have "
            f"{wanted.split(';')[0]}: a part of the split with only such cases cannot be scored on "
            "that."
        )


def screen_table(verdicts: Sequence[Verdict], root: Path) -> str:
    """Returns a line for each case; the second problem of a case and further ones have their own.

    Paths are relative to `root`; characters that a terminal would obey are replaced.
    """
    cells = [("case", "verdict", "problem")]
    for verdict in verdicts:
        first, *others = [_relative(text, root) for text in verdict.problems] or [""]
        cells += [(verdict.case.id, _word(verdict), first), *(("", "", text) for text in others)]
    rows = [[printable(text) for text in row] for row in cells]
    width = max(len(row[0]) for row in rows)
    return "".join(f"{case:{width}}  {word:7}  {text}".rstrip() + "\n" for case, word, text in rows)


def csv_table(verdicts: Sequence[Verdict], root: Path) -> str:
    """Returns the CSV text: `COLUMNS`, one row per case; `files` are those that problems name.

    Cells are safe to open in a spreadsheet; a cell with several texts has one on each line.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for verdict in verdicts:
        lesions = "" if verdict.lesions is None else str(verdict.lesions)
        lists = (verdict.problems, map(str, verdict.files), verdict.notes)
        row = (
            printable(verdict.case.id),
            _word(verdict),
            lesions,
            *(_cell(x, root) for x in lists),
        )
        writer.writerow([spreadsheet_text(cell) for cell in row])
    return text.getvalue()


def _cell(texts: Iterable[str], root: Path) -> str:
    return "\n".join(printable(_relative(text, root)) for text in texts)


def _word(verdict: Verdict) -> str:
    return "bad" if verdict.problems else "ok"


def _relative(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")


def _after_interrupt() -> str:
    return "nothing is written; give the same command again"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

"""The held-out patients' scores behind a table's rows, and what they say of differences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from experiments.engine.run import Run
from experiments.engine.table import Table
from utils.metrics.contrasts import Contrast, examine
from utils.runs.files import write_text
from utils.runs.reading import read_table
from utils.seeding import derive_seed


def patients_file(run: Run, row: str) -> Path:
    """Returns the file of a row's scores, a line per patient and part."""
    return run.path / "rows" / f"{row}_patients.csv"


def write_patients(run: Run, row: str, scores: pd.DataFrame) -> None:
    """Writes the scores of a row, with the column `patient`."""
    write_text(patients_file(run, row), scores.to_csv(index=False))


def read_patients(run: Run, row: str, score: str) -> pd.DataFrame:
    """Returns the scores of a row as `examine` reads them."""
    table = read_table(patients_file(run, row), {"patient": int, score: float})
    return table.assign(no=row)


def differences(
    results: pd.DataFrame, table: Table, references: Mapping[str, str], resamples: int, seed: int
) -> pd.DataFrame:
    """Returns each row's Dice minus that of another row, with its 95 % BCa interval.

    Patients are compared one by one; p-values are not adjusted.

    Args:
        results: columns no, patient and dice, a line per patient and row.
        table: with the rows' titles.
        references: by key of a row, the key of the one that it is compared with.
        resamples: number of bootstrap resamples.
        seed: of the bootstrap.
    """
    results, lines = results.assign(repeat=0, slices=1), []
    for row in table.rows:
        other = references.get(row.key, row.key)
        contrast = Contrast(row.title, [(row.key, other)] if other != row.key else [], 1)
        finding = examine(contrast, results, resamples, derive_seed(seed, "difference", row.key))
        if finding.interval:
            line = dict(zip(("difference", "low", "high"), finding.interval))
            more = {"p": finding.p_value, "detectable": finding.detectable}
            lines.append({"row": row.title, **line, **more})
    return pd.DataFrame(lines)

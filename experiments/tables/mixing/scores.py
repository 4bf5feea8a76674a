"""A trained segmenter's scores on the held-out patients, and the files that keep them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.brats.names import REGIONS
from data.contract import DataSet
from data.slice_sets import Slices
from experiments.engine.run import Run
from experiments.engine.scoring import segmentation_figures
from experiments.engine.volumes import score_volumes
from experiments.tables.mixing.rows import Mixture
from utils.metrics.volumes import FIGURES
from utils.runs.files import write_text
from utils.runs.results import read_kept

# Name in Table 5 -> name in `utils.metrics`.
SCORES = {"dice": "legacy_dice", "mse": "legacy_mse", "dice_wt": "dice_wt"}
SCORES_NOTE = (
    "scores.csv has every held-out patient's scores in every repeat, those in 3-D with HD95 (mm) "
    "and lesion-wise Dice of whole tumour, tumour core and enhancing tumour among them."
)
# Likewise of a patient's volume, whose plain Dice and HD95 have other names than the slices'.
VOLUME_SCORES = {
    name if name.startswith("lesionwise") else f"volume_{name}": name
    for name in (f"{figure}_{region}" for figure in FIGURES for region in REGIONS)
}


def score(
    find: Callable[[np.ndarray], np.ndarray],
    test: Slices,
    patients: np.ndarray,
    dataset: DataSet,
    spacing: Sequence[float],
) -> dict[str, Any]:
    """Returns `figures` of all test slices and `patients`, each one's numbers and scores.

    Numbers are `slices` and `missing_slices`, those between a patient's first and last.

    `SCORES` are means over slices, `VOLUME_SCORES` are of the patient's volume, and all are means
    over the networks of the segmenter. One that a patient or one of the networks does not define,
    such as the whole-tumour Dice without any tumour, is None.

    Args:
        find: from images [N,H,W,M] to labels [N,H,W,K] of the segmenter's K networks.
        test: the slices, with label, subjects and index.
        patients: names by the numbers of `test.subjects`.
        dataset: what the labels are.
        spacing: depth, height and width of a voxel in mm.

    Raises:
        UserError: slices without their place in a volume, or two at one place.
    """
    found, names, scores = find(test.images), patients[test.subjects], {}
    volumes = score_volumes(test, found, dataset, spacing)
    for name in np.unique(names):
        chosen = names == name
        figures = segmentation_figures(dataset, found[chosen], test.label[chosen])
        values = {key: figures.get(metric) for key, metric in SCORES.items()}
        (row,) = np.flatnonzero(patients[volumes.subjects] == name)
        for key, figure in VOLUME_SCORES.items():
            value = float(volumes.scores[figure][row].mean())
            values[key] = value if np.isfinite(value) else None
        counts = {"slices": int(chosen.sum()), "missing_slices": int(volumes.missing[row])}
        scores[str(name)] = {**counts, **values}
    return {"figures": segmentation_figures(dataset, found, test.label), "patients": scores}


def read_results(
    folder: Path, rows: Sequence[Mixture], settings: Any, patient_of: Callable[[str], str]
) -> pd.DataFrame:
    """Returns finished results, one line per row, repeat and held-out patient.

    Columns: no, repeat, patient, slices, then `SCORES` and `VOLUME_SCORES`, NaN where a score is
    missing, as those of volumes may be. Results that were made with other `settings` are left out.
    Of a patient with several scans, scores are means over scans: scans of one patient are alike,
    so intervals and tests have to count patients.

    Args:
        folder: where the rows' results are kept.
        rows: the rows to read.
        settings: see `settings_of`.
        patient_of: from a scan's id to its patient.
    """
    lines = []
    for row in rows:
        for path in sorted(folder.glob(f"{row.name}_seed_*.json")):
            result = read_kept(path, settings) or {"patients": {}}
            for patient, values in result["patients"].items():
                head = {"no": row.no, "repeat": result["repeat"], "patient": patient_of(patient)}
                lines.append({**head, **values})
    scores = [*SCORES, *VOLUME_SCORES]
    frame = pd.DataFrame(lines, columns=["no", "repeat", "patient", "slices", *scores])
    frame = frame.astype({"slices": int, **{key: float for key in scores}})
    ways = {"slices": "sum", **dict.fromkeys(scores, "mean")}
    return frame.groupby(["no", "repeat", "patient"], as_index=False, sort=False).agg(ways)


def write_scores(run: Run, results: pd.DataFrame) -> None:
    """Writes scores.csv, see `SCORES_NOTE`, from what `read_results` returns."""
    write_text(run.path / "scores.csv", results.to_csv(index=False))

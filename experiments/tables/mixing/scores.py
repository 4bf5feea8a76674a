"""A trained segmenter's scores on the held-out patients, and the files that keep them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.contract import DataSet
from data.slice_sets import Slices
from experiments.systems.structure_gan.evaluation import segmentation_figures
from experiments.tables.mixing.rows import Mixture
from utils.runs.results import read_kept

# Name in Table 5 -> name in `utils.metrics`.
SCORES = {"dice": "legacy_dice", "mse": "legacy_mse", "dice_wt": "dice_wt"}


def score(
    find: Callable[[np.ndarray], np.ndarray],
    test: Slices,
    patients: np.ndarray,
    dataset: DataSet,
) -> dict[str, Any]:
    """Returns `figures` of all test slices and `patients`, each one's number of slices and scores.

    All are means over slices and over the networks of the segmenter. A whole-tumour Dice that no
    slice of a patient defines is None.

    Args:
        find: from images [N,H,W,M] to labels [N,H,W,K] of the segmenter's K networks.
        test: the slices, with label and subjects.
        patients: names by the numbers of `test.subjects`.
        dataset: what the labels are.
    """
    found, names, scores = find(test.images), patients[test.subjects], {}
    for name in np.unique(names):
        chosen = names == name
        figures = segmentation_figures(dataset, found[chosen], test.label[chosen])
        values = {key: figures.get(metric) for key, metric in SCORES.items()}
        scores[str(name)] = {"slices": int(chosen.sum()), **values}
    return {"figures": segmentation_figures(dataset, found, test.label), "patients": scores}


def read_results(folder: Path, rows: Sequence[Mixture], settings: Any) -> pd.DataFrame:
    """Returns finished results, one line per row, repeat and held-out patient.

    Columns: no, repeat, patient, slices, dice, mse, dice_wt. Results that were made with other
    `settings` are left out.
    """
    lines = []
    for row in rows:
        for path in sorted(folder.glob(f"{row.name}_seed_*.json")):
            result = read_kept(path, settings) or {"patients": {}}
            for patient, values in result["patients"].items():
                head = {"no": row.no, "repeat": result["repeat"], "patient": patient}
                lines.append({**head, **values})
    frame = pd.DataFrame(lines, columns=["no", "repeat", "patient", "slices", *SCORES])
    return frame.astype({key: float for key in SCORES})

"""A trained segmenter's scores on the held-out patients, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.brats.names import LABEL_NAMES, NUM_CLASSES, REGIONS
from data.pipeline import evaluation_batches
from experiments.systems.structure_gan.context import Context
from experiments.tables.mixing.rows import Row
from utils.metrics.segmentation import segmentation_metrics
from utils.runs.files import read_json

# Name in Table 5 -> name in `utils.metrics`.
SCORES = {"dice": "legacy_dice", "mse": "legacy_mse", "dice_wt": "dice_wt"}


@dataclass(frozen=True)
class TestSet:
    """Real held-out slices: images [N,H,W,4], label [N,H,W], patient's name [N]."""

    __test__ = False  # not for pytest

    images: np.ndarray
    label: np.ndarray
    patients: np.ndarray


def load_test_set(context: Context) -> TestSet:
    """Returns every prepared slice of the main run's held-out patients."""
    batches = list(evaluation_batches(context.prepared, context.split.test, 64))
    images, label, source = (
        np.concatenate([batch[key] for batch in batches]) for key in ("images", "label", "source")
    )
    names = np.array(context.prepared.subject_ids)[source[:, 0]]
    return TestSet(images, label[..., 0], names)


def score(find: Callable[[np.ndarray], np.ndarray], test: TestSet) -> dict[str, Any]:
    """Returns `figures` of all test slices and `patients`, each one's number of slices and scores.

    All are means over slices and over the networks of the segmenter. A whole-tumour Dice that no
    slice of a patient defines is None.

    Args:
        find: from images [N,H,W,4] to labels [N,H,W,K] of the segmenter's K networks.
        test: the slices.
    """
    found, patients = find(test.images), {}
    for name in np.unique(test.patients):
        chosen = test.patients == name
        figures = _figures(found[chosen], test.label[chosen])
        values = {key: figures.get(metric) for key, metric in SCORES.items()}
        patients[str(name)] = {"slices": int(chosen.sum()), **values}
    return {"figures": _figures(found, test.label), "patients": patients}


def _figures(found: np.ndarray, label: np.ndarray) -> dict[str, float]:
    each = [
        segmentation_metrics(found[..., i], label, NUM_CLASSES, LABEL_NAMES, REGIONS)
        for i in range(found.shape[-1])
    ]
    means = {key: float(np.mean([figures[key] for figures in each])) for key in each[0]}
    return {key: value for key, value in means.items() if np.isfinite(value)}


def result_path(folder: Path, row: Row, repeat: int) -> Path:
    """Returns where a row's result is kept; the file exists only when the row is finished."""
    return folder / f"{row.name}_seed_{repeat}.json"


def read_results(folder: Path, rows: Sequence[Row]) -> pd.DataFrame:
    """Returns finished results, one line per row, repeat and held-out patient.

    Columns: no, repeat, patient, slices, dice, mse, dice_wt.
    """
    lines = []
    for row in rows:
        for path in sorted(folder.glob(f"{row.name}_seed_*.json")):
            result = read_json(path)
            for patient, values in result["patients"].items():
                head = {"no": row.no, "repeat": result["repeat"], "patient": patient}
                lines.append({**head, **values})
    frame = pd.DataFrame(lines, columns=["no", "repeat", "patient", "slices", *SCORES])
    return frame.astype({key: float for key in SCORES})

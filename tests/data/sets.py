"""Small synthetic sets on the disk, as the stage `dataset` leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data.synthetic_sets.files import array_path
from utils.runs.files import write_json, write_text

SIZE = (8, 8)


def write_set(folder: Path, selected: Sequence[bool], noise: bool = False) -> Path:
    """A set of samples with constant images i / 100, or random ones, and labels i % 5."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    rows, rng, other = [], np.random.default_rng(0), np.zeros(SIZE, np.uint8)
    for i, chosen in enumerate(selected):
        images = rng.random((*SIZE, 4), np.float32) if noise else np.full((*SIZE, 4), i / 100)
        np.savez(
            array_path(folder, i),
            images=images.astype(np.float32),
            label=np.full(SIZE, i % 5, np.uint8),
            structure=other,
            outside=other,
        )
        file = array_path(Path(), i).as_posix()
        row = {"sample": i, "file": file, "seed": f"[{i}, 5]", "score": 0.1 + i / 7}
        rows.append({**row, "label_source": 40 + i, "selected": bool(chosen)})
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False)
    counts = {"samples": len(selected), "selected": int(sum(selected)), "rejected": {}}
    write_text(folder / "datasheet.md", "# Datasheet of a synthetic set\n")
    write_json(folder / "manifest.json", counts)
    return folder

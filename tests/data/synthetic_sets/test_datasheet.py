"""What a datasheet says of a set and of an export."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.synthetic_sets.datasheet import Origin, export_datasheet, set_datasheet
from data.synthetic_sets.files import DATASHEET
from tests.data.synthetic_sets.test_building import build
from utils.errors import DiskFullError

MANIFEST = {
    "settings": {"min_score": 0.95},
    **{"seed": 77, "samples": 40, "selected": 30},
}
FIGURES = pd.DataFrame({"real": [0.9, np.nan], "synthetic": [0.75, np.nan]}, ["dice", "unknown"])
ORIGIN = Origin(
    data="slices",
    licence="the terms",
    patients=8,
    held_out=2,
    channels=("T1", "T2"),
    classes=("background", "lesion"),
    system="a system",
    making=("More of it is drawn.",),
    score="mean Dice",
    labels="Each label is a patient's.",
    command="python train.py",
    version="commit 1",
    fingerprint="abc",
    figures=FIGURES,
    measured="Real slices beside 20 samples",
    texture={"real": 0.51, "synthetic": 0.876},
)
EXPORT = {
    **{"exported_as": "nnunet", "notice": "a notice", "pixel_mm": 2.0, "labels": {"0": "none"}},
    **{"synthetic_slices": 38, "synthetic_slices_left_out": 2, "real_slices": 0, "test_slices": 5},
}


@pytest.mark.parametrize(
    "fact",
    [
        "* 40 axial slices of a brain that does not exist, each in the modalities T1, T2,",
        "0 background, 1 lesion.",
        "learnt from: 8. Held-out patients, seen by no network: 2.",
        "The networks were trained by `python train.py`.",
        "* More of it is drawn.",
        "seed: abc.",
        "Seed of the set: 77.",
        "30 of 40 samples are marked as selected: their mean Dice is 0.95 or more.",
        "patches of its texture from real ones in 88% of the cases (50 % is chance); two groups of "
        "real patients are told apart in 51%.",
        "* Each label is a patient's.",
        "Real slices beside 20 samples; docs/running.md",
        "| dice | 0.900 | 0.750 |",
        "\n## Licence\n\nthe terms\n",
        "Not for diagnosis",
    ],
)
def test_a_set_s_datasheet_tells(fact):
    assert fact in set_datasheet(MANIFEST, ORIGIN)


def test_what_is_not_known_is_told_or_left_out():
    text = set_datasheet(MANIFEST, ORIGIN)
    assert "unknown" not in text  # a figure that neither column has
    early = replace(ORIGIN, figures=FIGURES[1:], texture={})
    text = set_datasheet({**MANIFEST, "settings": {"min_score": 0.0}}, early)
    assert "Not measured: the run's stage `evaluate`" in text and "| dice" not in text
    assert "How often its texture is told from real was not measured." in text
    assert "Selection: none, all samples are marked as selected." in text


def test_an_export_s_datasheet_begins_with_its_content():
    text = export_datasheet(EXPORT, "# Of the set\n")
    counts = "38 synthetic, 0 training patients', 5 held-out patients'; 2 samples of the set were"
    assert counts in text and text.endswith("* a notice\n\n# Of the set\n")
    assert "Format: nnunet; pixels of 2 mm." in text and "splits_final" not in text
    folds = export_datasheet({**EXPORT, "folds": [{"real_val": 3}]}, "")
    assert "cross-validation is optimistic even then" in folds
    folds = export_datasheet({**EXPORT, "folds": [{"real_val": 0}]}, "")
    assert "splits_final.json has no validation" in folds and "optimistic" not in folds


def test_a_finished_set_has_its_datasheet(tmp_path):
    """It is written before the manifest, which marks the set as finished."""
    told = []

    def describe(manifest) -> str:
        told.append(manifest)
        assert not (tmp_path / "manifest.json").exists()
        raise DiskFullError("no room")

    with pytest.raises(DiskFullError):
        build(tmp_path, describe=describe)
    assert not (tmp_path / "manifest.json").exists()
    build(tmp_path)
    assert (tmp_path / DATASHEET).read_text() == "3 samples\n" and told[0]["samples"] == 3

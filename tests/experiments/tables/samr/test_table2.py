"""SAMR's Table 2: which rows, what is made, how it is scored, and a tiny table."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.brats.tissues import with_plain_brain
from data.brats.with_brain import BRATS_WITH_BRAIN
from data.slice_sets import Slices
from data.synthetic_sets.changed import LabelChanger
from experiments.configs.samr import TABLE2_PRESETS
from experiments.engine.cli import main
from experiments.ledger import NOT_RUN, update
from experiments.tables.samr.rows import ABLATIONS, TABLE, chosen_rows
from experiments.tables.samr.table2 import (
    TABLE2_SAMR,
    label_scores,
    method_configs,
    needed_methods,
)
from utils.errors import UserError
from utils.runs.files import read_json

TINY = TABLE2_PRESETS["tiny"]


def test_experiments_are_rows_real_alone_first():
    assert list(chosen_rows("1,3")) == ["real", "pix2pix_1", "pix2pixhd_1", "shin_1", "samr_1"]
    assert list(chosen_rows("2", "pix2pixhd, shin")) == ["pix2pixhd_0.5", "shin_0.5", "samr_0.5"]
    assert set(chosen_rows("4")) == {*(f"{name}_1" for name in ABLATIONS), "samr_1"}
    assert len(ABLATIONS) == 4 and {row.key for row in TABLE.rows} == set(chosen_rows("1,2,3,4"))
    with pytest.raises(UserError, match="--experiments has '5'; give some of 1, 2, 3, 4"):
        chosen_rows("1,5")
    with pytest.raises(UserError, match="--rivals has 'samr'; give some of pix2pix, pix2pixhd, sh"):
        chosen_rows("1", "samr")


def test_only_methods_that_rows_need_are_trained():
    assert set(needed_methods(replace(TINY, experiments="3"))) == {"samr"}
    assert set(needed_methods(TINY)) == {"samr", "pix2pix", "pix2pixhd", "shin"}
    assert set(needed_methods(replace(TINY, rivals="pix2pix"))) == {"samr", "pix2pix"}
    configs = method_configs(replace(TINY, rival_width=5, rival_halvings=1))
    assert configs["samr"] == TINY.training and not configs["without_atlas"].samr.atlas
    for name in ("pix2pix", "shin"):
        assert (configs[name].samr.width, configs[name].samr.generator) == (5, "unet")
    assert configs["pix2pixhd"].samr.down_samplings == 1


@pytest.mark.parametrize("preset", TABLE2_PRESETS)
def test_every_method_fits_the_slices_of_every_preset(preset):
    """Networks that cannot halve them so often are refused as the configuration is made."""
    configs = method_configs(TABLE2_PRESETS[preset])
    assert set(configs) == {"samr", "pix2pix", "pix2pixhd", "shin", *ABLATIONS}


def test_the_papers_numbers_stand_in_their_columns():
    row = next(row for row in TABLE.rows if row.key == "without_atlas_1")
    assert row.paper["oedema/dice"] == 0.677 and row.paper["tumour/hd95"] == 7.123
    assert row.paper["cavity/sensitivity"] == 0.689 and row.paper["oedema/specificity"] == 0.997
    row = next(row for row in TABLE.rows if row.key == "shin_0.5")
    assert row.paper["cavity/dice"] == 0.643 and row.paper["oedema/hd95"] == 14.835


def test_scores_of_a_volume_by_hand():
    label, found = np.ones((2, 2, 4, 5), int)
    label[:, 1, 1:4] = 2  # oedema: 6 voxels
    found[:, 1, 1:3] = 2  # 4 of them
    found[0, 0, 0] = 2  # and one more
    found[1, 2, 4] = 4  # enhancing where there is none
    test = Slices(np.zeros((2, 4, 5, 1)), label, subjects=np.zeros(2, int), index=np.array([7, 8]))
    scores = label_scores(test, found, (1, 1, 1), BRATS_WITH_BRAIN).set_index("label")
    oedema, core, enhancing = (scores.loc[name] for name in ("oedema", "core", "enhancing"))
    voxels = label.size
    assert oedema["dice"] == pytest.approx(2 * 4 / (6 + 5))
    assert oedema["sensitivity"] == pytest.approx(4 / 6) and oedema["missed"] == 0
    assert oedema["specificity"] == pytest.approx(1 - 1 / (voxels - 6))
    assert core[["dice", "hd95", "sensitivity"]].isna().all() and core["specificity"] == 1
    assert enhancing["dice"] == 0 and np.isnan(enhancing["hd95"])
    assert enhancing["specificity"] == pytest.approx(1 - 1 / voxels)
    assert np.isnan(core["missed"]) and np.isnan(enhancing["missed"])
    scores = label_scores(test, np.ones_like(found), (1, 1, 1), BRATS_WITH_BRAIN)
    missed = scores.set_index("label").loc["oedema"]
    assert missed["missed"] == 1 and missed["dice"] == 0 and np.isnan(missed["hd95"])


def test_tissues_change_no_label_that_a_segmenter_sees():
    label = np.zeros((3, 20, 20), int)
    label[:, 2:18, 2:18] = 3
    label[:, 4:12, 2:9], label[:, 2:4, 2:18] = 2, 1
    label[1, 5:9, 5:9], label[2, 10:13, 9:14] = 4, 6
    places = {"subjects": np.array([0, 1, 1]), "index": np.array([4, 4, 6])}
    images = np.zeros((3, 20, 20, 0))
    tissues = LabelChanger(Slices(images, label, **places), 4)
    plain = LabelChanger(Slices(images, with_plain_brain(label, 4), **places), 2)
    assert set(np.unique(plain.slices.label)) == {0, 1, 2, 4}
    for number in range(20):
        found = tissues.draw(np.random.default_rng(number))
        expected = plain.draw(np.random.default_rng(number))
        np.testing.assert_array_equal(with_plain_brain(found.label, 4), expected.label)
        assert found[1:] == expected[1:] and set(np.unique(found.label)) > {1, 2, 3}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Experiments 1 and 3, and the runs of three methods."""
    out = tmp_path_factory.mktemp("table2") / "out"
    assert main(TABLE2_SAMR, ("--preset", "tiny", "--out", str(out))) == 0
    return out


@pytest.mark.slow
def test_a_tiny_table_has_rows_and_intervals(table):
    frame = pd.read_csv(table / "table2_samr.csv")
    assert set(frame["row"]) == set(chosen_rows("1,3"))
    assert set(frame["part"].dropna()) == {"oedema", "core", "enhancing"}
    text = (table / "table2_samr.md").read_text()
    assert "## Differences to the real slices alone" in text and "real + 100% SAMR" in text
    patients = pd.read_csv(table / "rows" / "samr_1_patients.csv")
    assert len(patients) == 2 * 3
    metrics = read_json(table / "metrics.json")
    mean = patients.groupby("label")["dice"].mean().mean()
    assert metrics["table2_samr/samr_1/dice"] == pytest.approx(mean)


@pytest.mark.slow
def test_the_ledger_takes_the_table(table, tmp_path):
    update(tmp_path / "ledger.md", [table])
    lines = pd.read_csv(tmp_path / "ledger.csv", dtype=str)
    found = lines[lines["our value"] != NOT_RUN]
    assert len(found) == 4 and set(found["experiment"]) == {"table2_samr"}
    assert set(found["data"]) == {"phantom"}
    assert found["command"].str.startswith("python experiments/table2_samr.py --preset tiny").all()


@pytest.mark.slow
def test_a_stop_changes_no_number(table):
    names = ("table2_samr.csv", "rows/samr_1_patients.csv")
    before = {name: (table / name).read_bytes() for name in names}
    for name in ("rows/samr_1.json", "rows/samr_1_patients.csv", "made/samr_1.tfrecord"):
        (table / name).unlink()
    for path in (table / "checkpoints").glob("samr_1*"):
        shutil.rmtree(path)
    assert main(TABLE2_SAMR, ("--out", str(table), "--resume")) == 0
    assert {name: (table / name).read_bytes() for name in before} == before

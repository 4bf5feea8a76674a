"""Table 5 without training: rows, synthetic files, claims on made-up results, table and chart."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from data.brats.dataset import BRATS
from data.pipeline import RecordFile
from data.slice_sets import Slices
from data.synthetic_sets.building import SyntheticConfig
from data.synthetic_sets.mixing import Sources, number_kept, subset_ranks
from experiments.configs.table5 import PRESETS, THESIS
from experiments.tables.mixing import rows as rows_module
from experiments.tables.mixing import synthetic as synthetic_module
from experiments.tables.mixing.chart import FAMILIES, draw_table
from experiments.tables.mixing.claims import CLAIMS, claims_text
from experiments.tables.mixing.rows import EARLY, ROWS, choose_rows
from experiments.tables.mixing.scores import SCORES, VOLUME_SCORES, read_results, score
from experiments.tables.mixing.synthetic import draw_selected
from experiments.tables.mixing.table import TABLE5, flat_metrics, summarise, table_of
from experiments.tables.mixing.training import result_path
from tests.data.sets import write_set
from tests.utils.metrics.test_contrasts import results
from utils.errors import UserError
from utils.metrics.contrasts import examine, verdicts
from utils.runs.files import write_json

BY_NO = {row.no: row for row in ROWS}


def test_the_rows_are_those_of_the_thesis():
    assert [row.no for row in ROWS] == [*map(str, range(1, 26)), "c10", "c20"]
    printed_rows = {
        "2": (0.5, 0, 0, "-", 0.032, 0.902),
        "8": (0.1, 3, 0, "synthetic first", 0.030, 0.907),
        "9": (0.2, 0.8, 0, "random", 0.041, 0.850),
        "13": (1, 0.5, 0, "random", 0.023, 0.939),
        "23": (1, 0, 3, "random", 0.036, 0.885),
        "24": (1, 1, 0, "real first", 0.195, 0.795),
        "25": (1, 1, 0, "synthetic first", 0.021, 0.940),
        "c10": (0.1, 0, 0, "-", None, None),
    }
    for no, expected in printed_rows.items():
        row = BY_NO[no]
        amounts = (row.real, row.synthetic, row.augmented)
        assert (*amounts, row.mode, row.thesis_mse, row.thesis_dice) == expected
    assert BY_NO["7"].describe() == "10 % real + 200 % synthetic, synthetic first"


def test_rows_are_chosen_by_number():
    assert [row.no for row in choose_rows("c10, 3,1")] == ["1", "3", "c10"]
    assert choose_rows("all") == list(ROWS)
    for words in ("26", "1,x", ""):
        with pytest.raises(UserError, match="give all, or some of 1,2,"):
            choose_rows(words)


def test_every_row_presents_equally_many_slices():
    files = [RecordFile(f"{i}", np.ones(50, bool)) for i in range(4)]
    drawn = [RecordFile(f"s{i}", np.ones(50, bool)) for i in range(12)]
    sources = Sources(files, drawn, subset_ranks([50] * 4, "slices", 0))
    for row in ROWS:
        phases = row.phases(sources, 8000)
        assert sum(phase.examples for phase in phases) == 8000
        amounts = 200 * (row.real + row.synthetic + row.augmented)
        assert sum(number_kept(phase.files) for phase in phases) == round(amounts)
    switch = {no: BY_NO[no].phases(sources, 8000)[0].examples for no in ("6", "8", "24", "25")}
    assert switch == {"6": 7200, "8": 7200, "24": 4000, "25": 4000}
    assert number_kept(BY_NO["24"].phases(sources, 10)[0].files) == 200
    assert str(BY_NO["25"].phases(sources, 10)[0].files[0].path) == "s0"


def test_the_thesis_trains_a_hundred_passes_over_the_real_data():
    assert THESIS.schedule.total_steps(15070) == 100 * 15070 // 4
    assert THESIS.segmentation.width == 64 and list(PRESETS) == ["tiny", "demo", "thesis"]
    with pytest.raises(UserError, match="--max_draws is 0; give 1 or more"):
        replace(THESIS, max_draws=0)


def draw(monkeypatch, directory, share: float, log: list) -> SimpleNamespace:
    """A trained run whose every 1/share-th sample is selected."""

    def draw_set(context, folder, config):
        log.append(config.samples)
        write_set(folder, [i % round(1 / share) == 0 for i in range(config.samples)])

    directory.mkdir(exist_ok=True)
    monkeypatch.setattr(synthetic_module, "draw_set", draw_set)
    return SimpleNamespace(config=SimpleNamespace(dataset=SyntheticConfig()))


def test_samples_are_drawn_until_enough_are_selected(monkeypatch, tmp_path):
    log: list = []
    context = draw(monkeypatch, tmp_path, 0.5, log)
    draw_selected(context, tmp_path, 10, max_draws=3)
    assert log == [10, 22]
    draw_selected(context, tmp_path, 5, max_draws=3)
    assert len(log) == 2  # enough of them
    with pytest.raises(UserError, match="need 60 synthetic slices, but only 30 of 60 drawn .*0.95"):
        draw_selected(context, tmp_path, 60, max_draws=1)


def test_scores_are_means_over_slices_networks_and_patients(tmp_path):
    label = np.zeros((3, 4, 4), np.int32)
    label[:2, 0, :2] = 2
    found = np.repeat(label[..., None], 2, -1)
    found[0, ..., 1] = 0  # one network misses the first slice
    places = {"subjects": np.array([1, 1, 0]), "index": np.array([4, 6, 4])}
    test = Slices(np.zeros((3, 4, 4, 4)), label, **places)
    scored = score(lambda images: found, test, np.array(["b", "a"]), BRATS, (1, 1, 1))
    assert scored["patients"]["a"]["slices"] == 2
    assert scored["patients"]["a"]["dice"] == pytest.approx((1 + 1 + 1 + 0) / 4, abs=1e-5)
    assert scored["patients"]["a"]["mse"] == pytest.approx(8 / 16 / 4)
    empty = {"slices": 1, "dice": 1.0, "mse": 0.0, "dice_wt": None}
    assert {key: scored["patients"]["b"][key] for key in empty} == empty
    assert scored["figures"]["dice_wt"] == pytest.approx(0.75)
    path = result_path(SimpleNamespace(path=tmp_path), BY_NO["7"], 1)
    write_json(path, {"settings": {"x": 1}, "no": "7", "repeat": 1, **scored})
    assert read_results(path.parent, ROWS, {"x": 2}, str).empty  # of another training
    frame = read_results(path.parent, ROWS, {"x": 1}, str)
    assert frame["repeat"].tolist() == [1, 1] and frame["no"].tolist() == ["7", "7"]
    assert summarise(frame)["dice"].tolist() == pytest.approx([(0.75 * 2 + 1) / 3], abs=1e-5)
    assert summarise(frame)["dice_wt"].tolist() == [0.75]  # of the patient that has one


def test_scores_of_volumes_stand_beside_those_of_slices(tmp_path):
    label = np.zeros((4, 12, 12), np.int32)
    label[:3, :6, :6] = 2
    found = np.repeat(label[..., None], 2, -1)
    found[0, ..., 1] = 0  # one network misses the first slice
    places = {"subjects": np.array([1, 1, 1, 0]), "index": np.array([4, 5, 7, 4])}
    test = Slices(np.zeros((4, 12, 12, 4)), label, **places)
    scored = score(lambda images: found, test, np.array(["b", "a"]), BRATS, (1, 2, 2))
    first, second = scored["patients"]["a"], scored["patients"]["b"]
    assert set(first) == {"slices", "missing_slices", *SCORES, *VOLUME_SCORES}
    assert first["volume_dice_wt"] == pytest.approx((1 + 2 * 72 / (72 + 108)) / 2)
    assert first["lesionwise_dice_wt"] == first["volume_dice_wt"]
    assert first["volume_hd95_wt"] == 0.5  # 1 mm from the first slice to the second
    assert first["missing_slices"] == 1 and second["missing_slices"] == 0
    assert second["volume_dice_wt"] is None and second["volume_hd95_wt"] == 0
    assert second["lesionwise_dice_et"] == 1 and second["lesionwise_hd95_et"] == 0

    path = result_path(SimpleNamespace(path=tmp_path), BY_NO["7"], 0)
    write_json(path, {"settings": {}, "no": "7", "repeat": 0, **scored})
    summary = summarise(read_results(path.parent, ROWS, {}, str))
    assert summary["volume_dice_wt"].tolist() == [first["volume_dice_wt"]]  # not by slices
    assert np.isnan(summary["volume_dice_et"]).all()
    metrics = flat_metrics(summary)
    assert metrics["table5/row_07/volume_dice_wt"] == first["volume_dice_wt"]
    assert "volume_dice_wt" in TABLE5.table.printed(TABLE5.table.frame(metrics))


def test_results_from_before_volumes_are_read_without(tmp_path):
    """Their networks are gone: training them again would cost days."""
    values = {"slices": 2, "dice": 0.5, "mse": 0.1, "dice_wt": 0.4}
    for repeat, more in enumerate(({}, {"volume_dice_wt": 0.75})):
        path = result_path(SimpleNamespace(path=tmp_path), BY_NO["7"], repeat)
        patients = {"a": {**values, **more}, "b": {**values, **more, "slices": 6}}
        if more:
            patients["b"]["volume_dice_wt"] = 0.25
        write_json(path, {"settings": {}, "no": "7", "repeat": repeat, "patients": patients})
    frame = read_results(path.parent, ROWS, {}, str)
    assert frame["dice"].tolist() == [0.5] * 4 and np.isnan(frame["lesionwise_dice_wt"]).all()
    (line,) = summarise(frame).to_dict("records")
    assert line["volume_dice_wt"] == 0.5 and np.isnan(line["volume_dice_wt_std"])
    assert line["dice_std"] == 0


def test_scans_of_one_patient_count_once(tmp_path):
    values = {"slices": 2, "dice": 0.5, "mse": 0.1, "dice_wt": None}
    scans = {"ann_1": values, "ann_2": {**values, "dice": 0.7, "dice_wt": 0.4}, "bob_1": values}
    path = result_path(SimpleNamespace(path=tmp_path), BY_NO["7"], 0)
    write_json(path, {"settings": {}, "no": "7", "repeat": 0, "patients": scans})
    frame = read_results(path.parent, ROWS, {}, lambda scan: scan[:3]).set_index("patient")
    assert frame["slices"].to_dict() == {"ann": 4, "bob": 2}
    assert frame["dice"].to_dict() == {"ann": pytest.approx(0.6), "bob": 0.5}
    assert frame.loc["ann", "dice_wt"] == 0.4 and np.isnan(frame.loc["bob", "dice_wt"])


MANY = tuple("abcdefghijkl")  # patients: of few, no claim of five is ever supported


def words_of(scores: dict, patients=MANY, **options) -> dict[str, str]:
    frame = results(scores, patients, **options)
    findings = [[examine(c, frame, 200, 0) for c in claim.contrasts] for claim in CLAIMS]
    return {claim.letter: word for claim, (word, _) in zip(CLAIMS, verdicts(findings))}


def test_claims_follow_the_results():
    thesis = {row.no: [row.thesis_dice] for row in ROWS if row.thesis_dice}
    found = words_of({**thesis, "c10": [0.85]})
    assert found == dict.fromkeys("abcde", "supported")
    inverted = {no: [1 - dice[0]] for no, dice in thesis.items()}
    assert words_of({**inverted, "c10": [0.9]}) == dict.fromkeys("abcde", "not supported")
    some = words_of({"1": [0.8], "3": [0.8], "13": [0.9], "25": [0.9]})
    assert some == {
        "a": "undecided",
        "b": "not run",
        "c": "supported",
        "d": "not run",
        "e": "not run",
    }
    assert words_of({"1": [0.9], "3": [0.2]}, patients=("p",))["a"] == "undecided"
    disagreeing = words_of({"1": [0.9, 0.5], "3": [0.2, 0.51]})
    assert disagreeing["a"] == "undecided"


def test_one_failing_contrast_is_enough():
    assert words_of({"25": [0.9], "15": [0.8], "24": [0.85]})["d"] == "not supported"
    assert words_of({"25": [0.9], "15": [0.8]})["d"] == "not run"


def test_the_text_answers_every_claim_and_warns_of_few_patients():
    text = claims_text(results({"1": [0.9, 0.8], "3": [0.2, 0.3]}), 100, 0)
    assert "(a) Synthetic data alone is worse than real data. **Undecided (p 0.250).**" in text
    assert (
        "(rows 3 - 1): -0.600, interval -0.600 to -0.600, detectable 0.000; "
        "by repeat -0.700, -0.500." in text
    )
    assert "GAN sees all" in text
    assert text.count("**Not run.**") == 4 and "needs rows 25 and 15." in text
    assert "Only 3 patients" in text and "trained once" not in text
    many = claims_text(results({"1": [0.9]}, patients=tuple("abcdefghij")), 100, 0)
    assert "were held out" not in many and "trained once" in many


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    thesis = {row.no: [row.thesis_dice - 0.1, row.thesis_dice] for row in ROWS[:25]}
    return summarise(results({**thesis, "c10": [0.7]}))


def test_the_table_has_means_and_spreads(table):
    assert len(table) == 26
    line = table.set_index("no").loc["13"]
    assert line["dice"] == pytest.approx(0.889) and line["seeds"] == 2
    assert line["dice_std"] == pytest.approx(0.1 / np.sqrt(2))
    metrics = flat_metrics(table)
    shown = TABLE5.table.printed(TABLE5.table.frame(metrics)).set_index("")
    title = f"13: {BY_NO['13'].describe()}"
    assert shown.loc[title, "dice"] == "0.889 ± 0.071"
    assert shown.loc["c10: 10 % real", ["dice", "seeds"]].tolist() == [pytest.approx(0.7), 1]
    assert shown.loc[title, "difference dice"] == pytest.approx(-0.05)
    assert np.isnan(shown.loc["c10: 10 % real", "paper dice"])
    assert metrics["table5/row_07/dice"] == pytest.approx(0.857)
    assert "table5/row_c10/dice" in metrics and "table5/row_c10/dice_std" not in metrics


def test_the_chart_shows_every_row(table, tmp_path):
    assert {no for family in FAMILIES for no in family.rows} == set(BY_NO)
    assert len({(f.colour, f.marker) for f in FAMILIES}) == len(FAMILIES)
    draw_table(table, rows_module.THESIS, tmp_path / "table5.png", "phantom (not medical)")
    picture = cv2.imread(str(tmp_path / "table5.png"))
    assert picture.shape[1] > 1000 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_the_early_papers_rows_are_those_of_the_thesis_under_other_numbers():
    # Numbers and published scores: early-paper table, columns No, real, synthetic, enhanced, Dice.
    printed = {
        "1": (1, 0, 0, 0.915),
        "31": (0.5, 0, 0, 0.902),
        "4": (0, 3, 0, 0.754),
        "9": (0.1, 3, 0, 0.907),
        "13": (0.2, 0.8, 0, 0.850),
        "33": (1, 0.5, 0, 0.939),
        "19": (1, 3, 0, 0.897),
        "35": (1, 0, 0.2, 0.911),
        "24": (1, 0, 3, 0.885),
        "16": (1, 1, 0, 0.795),
        "17": (1, 1, 0, 0.940),
    }
    rows = {row.no: row for row in EARLY.rows}
    assert len(rows) == len(ROWS) == 27
    for number, values in printed.items():
        row = rows[number]
        assert (row.real, row.synthetic, row.augmented, row.thesis_dice) == values, number
        assert EARLY.numbers[EARLY.in_thesis(number)] == number
    assert rows["16"].mode == "real first" and rows["17"].mode == "synthetic first"
    keys = [row.key for row in table_of(EARLY).rows]
    assert "row_31" in keys and "row_25" not in keys

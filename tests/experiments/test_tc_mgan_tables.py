"""Tables 1 and 2 of TC-MGAN on the same tiny runs of the four variants."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data.pipeline import evaluation_batches
from experiments.configs.tc_mgan import TABLE2_PRESETS
from experiments.engine import sources
from experiments.engine.cli import default_cache, main, parse
from experiments.engine.experiment import Training
from experiments.engine.run import Run
from experiments.systems.tc_mgan.evaluation import translate_subjects
from experiments.tables.tc_mgan import segmentation
from experiments.tables.tc_mgan.segmentation import TABLE2_TC_MGAN, score_row, translated_slices
from experiments.tables.tc_mgan.translation import TABLE1_TC_MGAN
from experiments.tables.tc_mgan.variants import TITLES
from models.tc_mgan.modalities import SOURCE_CHANNEL, TARGET_CHANNELS, TARGETS
from tests.data.trees import case_files, write_tree
from tests.experiments.conftest import history
from tests.experiments.test_train_brats import files
from tests.experiments.test_train_tc_mgan import run_of
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.training.checkpoints import Checkpoints

ROWS = list(segmentation.TITLE)
TABLES = (TABLE1_TC_MGAN, TABLE2_TC_MGAN)


def run(experiment, *words: object) -> int:
    return main(experiment, [str(word) for word in words])


def opened(*words: str) -> Run:
    """The run of Table 1, whose source are the runs of the variants, finished or not."""
    table = Run(TABLE1_TC_MGAN, parse(words, TABLE1_TC_MGAN), tf.distribute.get_strategy(), False)
    return table.works_on(TABLE1_TC_MGAN.sources._found(table))


@pytest.fixture(scope="module")
def table2(tiny_variants, tmp_path_factory):
    """A finished Table 2; the time stamps of the variants' files before it are in `before`."""
    out = tmp_path_factory.mktemp("table2") / "table2"
    before = files(tiny_variants)
    words = ("--preset", "tiny", "--out", out, "--variants", tiny_variants / "variants")
    assert run(TABLE2_TC_MGAN, *words) == 0
    return SimpleNamespace(out=out, before=before)


def test_table_1_has_the_figures_of_every_variant(tiny_variants):
    metrics = read_json(tiny_variants / "metrics.json")
    assert metrics.pop("table1_tc_mgan/seconds") > 0
    rows = pd.read_csv(tiny_variants / "table1_tc_mgan.csv")
    assert len(rows) == len(TITLES) * (1 + len(TARGETS))
    rows = rows.set_index(["part", "row"])
    for variant in TITLES:
        source = read_json(tiny_variants / "variants" / variant / "metrics.json")
        for key, value in source.items():
            if key.startswith("translation/"):
                assert metrics.pop(key.replace("translation", f"table1_tc_mgan/{variant}")) == value
        for name in TARGETS:
            row = rows.loc[(name, variant)]
            for key in ("psnr", "psnr_std"):
                assert row[key] == pytest.approx(source[f"translation/{name}/{key}"])
    assert metrics == {}


def test_table_1_says_where_it_comes_from(tiny_variants):
    text = (tiny_variants / "table1_tc_mgan.md").read_text()
    assert "not medical data" in text and "patients: 1 train, 1 test, 1 gan" in text
    assert "`python experiments/table1_tc_mgan.py --preset tiny`" in text
    assert "mean PSNR: MGAN 25.397 > TC-MGAN-bw 25.375 > TC-MGAN 25.367 > 3 x" in text
    picture = cv2.imread(str(tiny_variants / "table1_tc_mgan.png"))
    # T2, then three targets, real and by four variants; six slices.
    assert picture.shape[0] > (1 + 3 * 5) * 32 and picture.shape[1] > 6 * 32


@pytest.mark.slow
def test_table_2_has_a_row_for_each_kind_of_input(table2):
    metrics = read_json(table2.out / "metrics.json")
    assert metrics.pop("table2_tc_mgan/seconds") > 0
    frame = pd.read_csv(table2.out / "table2_tc_mgan.csv").set_index("title")
    assert list(frame.index) == list(segmentation.TITLE.values())
    for row, title in segmentation.TITLE.items():
        assert metrics.pop(f"table2_tc_mgan/{row}/slices") == 10
        dice = metrics.pop(f"table2_tc_mgan/{row}/dice")
        assert 0 < dice < 1 and frame.loc[title, "dice"] == pytest.approx(dice)
        assert metrics.pop(f"table2_tc_mgan/{row}/dice_std") == pytest.approx(
            frame.loc[title, "dice_std"]
        )
    assert metrics == {}
    text = (table2.out / "table2_tc_mgan.md").read_text()
    assert "patients: 1 train, 1 test, 1 gan" in text
    assert "table2_tc_mgan.py --preset tiny --variants PATH`" in text and "(2I + 1)" in text
    assert cv2.imread(str(table2.out / "table2_tc_mgan.png")).shape[1] > 500


@pytest.mark.slow
def test_the_unets_see_what_their_row_says(table2):
    for row in ROWS:
        reader = tf.train.load_checkpoint(str(table2.out / "checkpoints" / row))
        kernel = "networks/S/units/0/convolution/kernel/.ATTRIBUTES/VARIABLE_VALUE"
        assert reader.get_tensor(kernel).shape[2] == (1 if row == "only_t2" else 4)
        assert history(table2.out, row)[-1]["step"] == 10
    assert list((table2.out / "translated").iterdir()) == []  # each goes when its row is scored


@pytest.mark.slow
def test_finished_variants_are_only_read(table2, tiny_variants):
    assert files(tiny_variants) == table2.before
    assert not (table2.out / "variants").exists()


def test_only_unfinished_variants_are_continued(tiny_variants, tmp_path, monkeypatch):
    folder, made = tmp_path / "runs", []
    shutil.copytree(tiny_variants / "variants", folder)
    (folder / "mgan" / "report.html").unlink()
    shutil.rmtree(folder / "tc_mgan_bw" / "checkpoints")
    monkeypatch.setattr(sources, "make", lambda _, request, strategy: made.append(request.out))
    monkeypatch.setattr(segmentation, "score_row", lambda *_: 1 / 0)
    words = ("--preset", "tiny", "--variants", folder, "--out", tmp_path / "out")
    with pytest.raises(ZeroDivisionError):
        run(TABLE2_TC_MGAN, *words)
    assert made == [folder / "mgan", folder / "tc_mgan_bw"]


@pytest.mark.slow
def test_table_2_resumes_between_rows(table2, tiny_variants, tmp_path, monkeypatch):
    out = tmp_path / "out"
    ignored = shutil.ignore_patterns(*ROWS[-2:], *(f"{row}.json" for row in ROWS[-2:]), "table2*")
    shutil.copytree(table2.out, out, ignore=ignored)
    metrics = read_json(table2.out / "metrics.json")
    first = {k: v for k, v in metrics.items() if not k.startswith(tuple(keys_of(ROWS[-2:])))}
    write_json(out / "metrics.json", first)
    score, scored = score_row, []

    def stop_at_last(run, row):
        scored.append(row)
        if row == ROWS[-1]:
            raise KeyboardInterrupt
        return score(run, row)

    before = [path for row in ROWS[:-2] for path in (out / "checkpoints" / row).iterdir()]
    before = {path: path.stat().st_mtime_ns for path in before}
    monkeypatch.setattr(segmentation, "score_row", stop_at_last)
    variants = ("--variants", tiny_variants / "variants")
    assert run(TABLE2_TC_MGAN, "--out", out, "--resume", *variants) == 130
    assert not (out / "table2_tc_mgan.md").exists()
    monkeypatch.setattr(segmentation, "score_row", lambda *a: scored.append(a[1]) or score(*a))
    assert run(TABLE2_TC_MGAN, "--out", out, "--resume", *variants) == 0
    assert scored == [ROWS[-2], ROWS[-1], ROWS[-1]]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for name in ("table2_tc_mgan.csv", "table2_tc_mgan.md"):
        assert (out / name).read_text() == (table2.out / name).read_text()


def test_table_2_does_not_go_on_with_other_runs(tiny_variants, tmp_path, monkeypatch, capsys):
    folder, out = tmp_path / "runs", tmp_path / "out"
    shutil.copytree(tiny_variants / "variants", folder)
    words = ("--variants", folder, "--out", out)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(segmentation, "score_row", stop)
    assert run(TABLE2_TC_MGAN, "--preset", "tiny", *words) == 130
    folder.rename(tmp_path / "moved")
    words = ("--variants", tmp_path / "moved", "--out", out, "--resume")
    assert run(TABLE2_TC_MGAN, *words) == 130
    system = (source := run_of(tmp_path / "moved" / "mgan")).build("gan")  # another generator
    Checkpoints(system, source.checkpoints("gan")).save(source.total_steps("gan"))
    before = files(out)
    assert run(TABLE2_TC_MGAN, *words) == 2
    assert f"error: {out} began with other runs of the variants, with" in capsys.readouterr().err
    assert files(out) == before


def keys_of(rows) -> list[str]:
    return [f"table2_tc_mgan/{row}/" for row in rows]


def test_translated_slices_keep_t2_label_and_source(tiny_variants, tmp_path):
    source = run_of(tiny_variants / "variants" / "mgan")
    folder, split = tmp_path / "mgan", source.split
    translated_slices(source, folder)
    before = files(folder)
    prepared = translated_slices(source, folder)
    assert files(folder) == before and len(before) == 2
    for subject, real, made in zip(prepared.subject_ids, source.prepared.files, prepared.files):
        assert (made == real) == (subject in split.gan)
    held_out = (*split.test, *split.train)
    translations = list(translate_subjects(source, held_out))
    real, made = (
        {
            name: np.concatenate([batch[name] for batch in evaluation_batches(p, held_out, 16)])
            for name in ("images", "label", "source")
        }
        for p in (source.prepared, prepared)
    )
    for name in ("label", "source"):
        np.testing.assert_array_equal(made[name], real[name])
    np.testing.assert_array_equal(
        made["images"][..., SOURCE_CHANNEL], real["images"][..., SOURCE_CHANNEL]
    )
    assert made["images"].std() > 0.1
    found = made["images"][..., TARGET_CHANNELS]
    expected = np.concatenate([translated for _, translated in translations])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - real["images"][..., TARGET_CHANNELS]).mean() > 0.1


def test_a_unet_learns_from_train_and_is_scored_on_test(tiny_variants, tmp_path, monkeypatch):
    source = run_of(tiny_variants / "variants" / "mgan")
    calls, numbers = [], []
    monkeypatch.setattr(Training, "perform", lambda *arguments: calls.append(arguments))
    read = segmentation.real_slices

    def slices(prepared, subjects):
        numbers.extend(subjects)
        return read(prepared, subjects)

    monkeypatch.setattr(segmentation, "real_slices", slices)
    request = replace(source.request, out=tmp_path, config=TABLE2_PRESETS["tiny"])
    table = Run(TABLE2_TC_MGAN, request, source.strategy).works_on({"mgan": source})
    for row in ("real", "mgan"):
        scores = score_row(table, row)
        assert scores.shape == (10,) and (scores >= 0).all()
    assert tuple(numbers) == source.split.test * 2
    (first, run, system), (second, other_run, other) = calls
    batches = first.batches(run, first).keywords, second.batches(other_run, second).keywords
    assert batches[0]["subject_ids"] == batches[1]["subject_ids"] == source.split.train
    assert batches[0]["seed"] == batches[1]["seed"]
    assert [batch["prepared"] is source.prepared for batch in batches] == [True, False]
    for a, b in zip(system.networks["S"].get_weights(), other.networks["S"].get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("table", "words", "change"),
    [
        (TABLE1_TC_MGAN, ("--gan.width=5",), "gan.width: 4 -> 5"),
        (TABLE2_TC_MGAN, ("--training.gan.width=5",), "gan.width: 4 -> 5"),
        (TABLE2_TC_MGAN, ("--precision=mixed_bfloat16",), "precision: float32 -> mixed_bfloat16"),
    ],
)
def test_variants_of_other_settings_are_refused(
    tiny_variants, tmp_path, capsys, table, words, change
):
    before, out = files(tiny_variants), tmp_path / "out"
    variants = ("--variants", tiny_variants / "variants")
    assert run(table, "--preset", "tiny", "--out", out, *variants, *words) == 2
    error = capsys.readouterr().err
    assert "pix2pix was made with other settings than this table asks for" in error
    assert f"({change}); give the same options or another --variants" in error
    assert files(tiny_variants) == before and not out.exists()


@pytest.mark.slow
def test_variants_with_different_splits_are_refused(tmp_path):
    """Somebody's splits.json decides for one run, the seed for the others."""
    words = [f"--out={tmp_path / 'out'}", f"--cache={default_cache()}", "--preset=tiny"]
    split = opened(*words).sources["mgan"].split
    folder = tmp_path / "out" / "variants" / "mgan"
    folder.mkdir(parents=True)
    replace(split, gan=split.test, test=split.gan).save(folder / "splits.json")
    with pytest.raises(UserError, match="runs .*pix2pix and .*mgan divide the patients"):
        opened(*words)


def test_bad_cases_are_left_out_of_every_variant(tmp_path):
    """A command that permits it finds the data of all variants before any of them is trained."""
    data = write_tree(tmp_path / "data", "flat2015", count=4, shape=(6, 34, 32))
    damaged = case_files(data, "flat2015", 2)["T2"]
    damaged.write_bytes(damaged.read_bytes()[:-100])
    words = [f"--data={data}", f"--out={tmp_path / 'out'}", f"--cache={tmp_path / 'cache'}"]
    words += ["--preset=tiny", "--slicing.min_brain_pixels=0", "--slicing.slices=[1,5]"]
    words += ["--slicing.rows=[0,32]", "--slicing.columns=[0,32]", "--slicing.frame=[6,34,32]"]
    with pytest.raises(UserError, match="1 of the 4 cases in .* cannot be trained on"):
        opened(*words)
    assert not (tmp_path / "out").exists()
    found = opened(*words, "--skip-bad").sources
    assert list(found) == list(TITLES)
    for name, source in found.items():
        assert list(source.skipped) == ["brats_2013_pat0002_1"]
        assert source.config.gan.variant == name and len(source.prepared.subject_ids) == 3


@pytest.mark.parametrize("table", TABLES)
def test_bad_data_leaves_no_table(table, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    words = ("--preset", "tiny", "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert run(table, *words) == 2
    assert str(tmp_path / "data") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("table", "plan"),
    [
        (TABLE1_TC_MGAN, "variants: pix2pix, mgan, tc_mgan, tc_mgan_bw"),
        (TABLE2_TC_MGAN, f"rows: {', '.join(segmentation.TITLE.values())}"),
    ],
)
def test_a_dry_run_prints_the_plan(table, plan, tmp_path, capsys):
    assert run(table, "--dry-run", "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "phantom_subjects: 40" in text and text.splitlines()[-1] == plan
    assert not (tmp_path / "out").exists()


def test_only_the_variants_batches_must_suit_the_devices(tmp_path, capsys):
    words = ("--dry-run", "--devices=2", "--out", tmp_path / "out")
    assert run(TABLE2_TC_MGAN, *words, "--schedule.batch_size=3") == 0
    assert run(TABLE2_TC_MGAN, *words, "--training.schedule.gan.batch_size=3") == 2
    assert "--training.schedule.gan.batch_size is 3 but 2 devices" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(TABLE2_TC_MGAN, "--help")
    assert "The U-Nets train on one device" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("table", "option"),
    [(TABLE1_TC_MGAN, "gan.variant"), (TABLE2_TC_MGAN, "training.gan.variant")],
)
def test_a_table_of_all_variants_takes_no_variant(table, option, tmp_path, capsys):
    assert run(table, "--dry-run", f"--{option}", "mgan", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"--{option} is mgan, but this table has a row for every variant" in error
    assert error.endswith("with python experiments/train_tc_mgan.py\n")

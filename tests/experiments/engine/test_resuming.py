"""Runs that are continued with other settings: what is refused, recorded, kept and drawn anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import tensorflow as tf

from experiments.configs.brats import DEMO, TINY
from experiments.configs.tc_mgan import TABLE2_PRESETS
from experiments.engine import cli
from experiments.engine.cli import main, parse
from experiments.engine.experiment import Experiment
from experiments.engine.recording import command, record_start
from experiments.engine.request import Request
from experiments.engine.resuming import saved_run
from experiments.engine.run import Run
from experiments.systems.structure_gan import dataset
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.privacy import AUDIT_PRIVACY
from experiments.tables.tc_mgan.segmentation import TABLE2_TC_MGAN
from tests.experiments.conftest import history, train
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory

ALLOW = "--allow-config-change"


def begin(folder: Path, preset: str, config, **others) -> Path:
    start = {"preset": preset, "data": None, "precision": "float32", "config": asdict(config)}
    write_json(folder / "config.json", {**start, **others})
    return folder


@pytest.fixture
def begun(tmp_path) -> Path:
    return begin(tmp_path / "run", "tiny", TINY)


def resume(run: Path, *words: str, script: Experiment = TRAIN_BRATS):
    return parse(("--out", str(run), "--resume", *words), script)


def performed(run: Path, *words: str, perform=record_start) -> int:
    """Resume a run with another function in the place of `perform`; return the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "perform", perform)
        return main(TRAIN_BRATS, ("--out", str(run), "--resume", *words))


def printed_command(request: Request) -> str:
    strategy = tf.distribute.get_strategy()
    return command(Run(AUDIT_PRIVACY, request, strategy, writes=False))


def changes_in(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith(("changed:", "finished and"))]


def test_a_change_has_to_be_allowed(begun):
    words = ("--structure.learning_rate", "0.5", "--precision=mixed_bfloat16")
    change = "structure.learning_rate: 0.001 -> 0.5; precision: float32 -> mixed_bfloat16"
    sentence = f"changes {change}; leave these options out, add {ALLOW} or start a new --out"
    with pytest.raises(UserError, match=sentence):
        resume(begun, *words)
    launch = resume(begun, *words, ALLOW)
    assert launch.changes == tuple(change.split("; ")) and launch.changed
    assert launch.config == replace(TINY, structure=replace(TINY.structure, learning_rate=0.5))
    assert launch.precision == "mixed_bfloat16"
    assert resume(begun, ALLOW).changes == () and not resume(begun, ALLOW).changed
    with pytest.raises(UserError, match=f"{ALLOW} goes with --resume; add that or leave this"):
        parse((ALLOW,), TRAIN_BRATS)


def test_a_file_does_not_allow_changes(begun, tmp_path):
    (tmp_path / "a.yaml").write_text(
        "allow_config_change: true\nstructure:\n  learning_rate: 0.5\n"
    )
    with pytest.raises(UserError, match=f"a --config file sets allow-config-change; give {ALLOW}"):
        resume(begun, "--config", str(tmp_path / "a.yaml"))


def test_a_change_is_printed_and_recorded_beside_what_was_before(begun, capsys):
    first = read_json(begun / "config.json")
    assert (
        performed(begun, ALLOW, "--schedule.synthesis.steps=40", "--precision=mixed_bfloat16") == 0
    )
    printed = changes_in(capsys.readouterr().out)
    steps = TINY.schedule.synthesis.steps
    assert printed == [
        f"changed: schedule.synthesis.steps: {steps} -> 40",
        "changed: precision: float32 -> mixed_bfloat16",
    ]
    second = read_json(begun / "config.json")
    assert second["config"]["schedule"]["synthesis"]["steps"] == 40
    assert second["precision"] == "mixed_bfloat16"
    settings = ("preset", "precision", "config")
    assert second["earlier"] == [{name: first[name] for name in settings}]
    again = resume(begun)
    assert (again.changes, again.changed) == ((), True)
    assert again.config.schedule.synthesis.steps == 40 and again.precision == "mixed_bfloat16"
    assert performed(begun) == performed(begun, ALLOW) == 0
    assert read_json(begun / "config.json") == second
    assert changes_in(capsys.readouterr().out) == []
    assert performed(begun, ALLOW, "--structure.learning_rate=0.5") == 0
    third = read_json(begun / "config.json")
    assert third["earlier"] == [*second["earlier"], {name: second[name] for name in settings}]
    assert RunDirectory(begun, writes=False).earlier_settings() == third["earlier"]


def test_a_change_is_recorded_once_in_a_start(begun):
    def twice(run):
        record_start(run)
        record_start(run, "fingerprint")

    assert performed(begun, ALLOW, "--structure.learning_rate=0.5", perform=twice) == 0
    saved = read_json(begun / "config.json")
    assert len(saved["earlier"]) == 1 and saved["fingerprint"] == "fingerprint"


def test_another_preset_gives_all_its_values(begun):
    with pytest.raises(UserError, match="changes preset: tiny -> demo; leave these options out, a"):
        resume(begun, "--preset=demo")
    own_data = tuple(
        f"--{name}={json.dumps(value, separators=(',', ':'))}"
        for name, value in (
            ("phantom_subjects", TINY.phantom_subjects),
            *((f"slicing.{key}", value) for key, value in asdict(TINY.slicing).items()),
        )
        if name != "slicing.label_scheme" and not isinstance(value, str)
    )
    launch = resume(begun, ALLOW, "--preset=demo", *own_data)
    assert launch.preset == "demo" and "preset: tiny -> demo" in launch.changes
    expected = replace(DEMO, slicing=TINY.slicing, phantom_subjects=TINY.phantom_subjects)
    assert launch.config == expected


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (("--seed=5",), "seed: 0 -> 5"),
        (("--phantom=varied",), "phantom: easy -> varied"),
        (("--phantom_subjects=9",), f"phantom_subjects: {TINY.phantom_subjects} -> 9"),
        (("--test_fraction=0.5",), f"test_fraction: {TINY.test_fraction} -> 0.5"),
        (("--slicing.slices=[60,70]",), f"slicing.slices: {TINY.slicing.slices} -> (60, 70)"),
        (("--data=.",), "data: the phantom -> ."),
        (("--skip-bad",), "skip-bad: False -> True"),
    ],
)
def test_the_data_of_a_run_never_changes(begun, words, change):
    for allow in ((), (ALLOW,)):
        with pytest.raises(UserError) as caught:
            resume(begun, *words, *allow)
        assert str(caught.value) == (
            f"--resume continues {begun} with its own data, but the command line changes {change}; "
            "leave these options out or start a new --out"
        )


def test_a_seed_may_change_where_it_makes_no_data(begun, tmp_path):
    begin(begun, "tiny", TINY, data=str(tmp_path))
    assert resume(begun, ALLOW, "--seed=5").changes == ("seed: 0 -> 5",)
    begin(begun, "tiny", AUDIT_PRIVACY.presets["tiny"])
    assert resume(begun, ALLOW, "--seed=5", script=AUDIT_PRIVACY).changes == ("seed: 0 -> 5",)
    begin(begun, "tiny", TABLE2_PRESETS["tiny"])
    with pytest.raises(UserError, match="own data, but .* changes training.seed: 0 -> 5"):
        resume(begun, ALLOW, "--training.seed=5", script=TABLE2_TC_MGAN)


def test_the_data_of_a_tables_main_run_may_move(begun, tmp_path):
    begin(begun, "tiny", AUDIT_PRIVACY.presets["tiny"], run=str(tmp_path / "main"))
    moved = resume(begun, f"--data={tmp_path}", script=AUDIT_PRIVACY)
    assert (moved.data, moved.run) == (tmp_path, tmp_path / "main")


def test_a_stop_before_the_change_is_recorded_needs_the_same_command(begun, capsys):
    before = read_json(begun / "config.json")

    def stop(*_):
        raise KeyboardInterrupt

    assert performed(begun, ALLOW, "--structure.learning_rate=0.5", perform=stop) == 130
    assert "saved nothing yet; give the same command again" in capsys.readouterr().err
    assert read_json(begun / "config.json") == before


def test_a_printed_command_says_that_settings_were_changed(begun):
    begin(begun, "tiny", AUDIT_PRIVACY.presets["tiny"])
    assert "#" not in printed_command(resume(begun, script=AUDIT_PRIVACY))
    request = resume(begun, ALLOW, "--worst_pairs=3", script=AUDIT_PRIVACY)
    assert printed_command(request).endswith(
        "--worst_pairs=3  # settings were changed after the start, see earlier in config.json"
    )


@pytest.fixture
def finished(tiny_run, tmp_path) -> Path:
    """A copy of the finished tiny run."""
    shutil.copytree(tiny_run, tmp_path / "copy")
    return tmp_path / "copy"


def test_networks_that_do_not_fit_leave_the_run_as_it_was(finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    words = ("--out", str(finished), "--resume", ALLOW, "--segmentation.width=3")
    assert train(*words) == 2
    error = capsys.readouterr().err
    assert str(finished / "checkpoints" / "segmentation") in error
    assert "does not fit the configuration" in error and error.count("error:") == 1
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_a_longer_schedule_trains_on_and_keeps_what_is_finished(finished, capsys):
    steps = TINY.schedule.segmentation.steps
    kept = [finished / "metrics.json", finished / "synthetic" / "manifest.json"]
    kept += (finished / "checkpoints" / "structure").glob("ckpt-*")
    before = [path.read_bytes() for path in kept]
    words = (f"--schedule.segmentation.steps={steps + 1}", "--structure.learning_rate=0.5")
    assert train("--out", str(finished), "--resume", ALLOW, *words, "--stages=segmentation") == 0
    assert changes_in(capsys.readouterr().out) == [
        f"changed: schedule.segmentation.steps: {steps} -> {steps + 1}",
        "changed: structure.learning_rate: 0.001 -> 0.5",
        "finished and left as they are: structure, registration, synthesis, dataset, evaluate; too "
        "late for them: structure.learning_rate",
    ]
    assert history(finished, "segmentation")[-1]["step"] == steps + 1
    assert [path.read_bytes() for path in kept] == before
    assert train("--out", str(finished), "--resume", "--stages=report") == 0
    assert "Earlier configuration 1, with which" in (finished / "report.html").read_text()


def test_an_unfinished_set_that_was_begun_with_other_settings_is_drawn_anew(
    tmp_path, monkeypatch, capsys
):
    """Only the count of samples may differ: a larger set begins with a smaller one."""
    sample = tmp_path / "synthetic" / "samples" / "synthetic_000000.json"

    def draw(run, directory, config):
        sample.parent.mkdir(exist_ok=True)
        sample.touch()

    def build(config=TINY, seed=0):
        found = sample.exists()
        request = Request(tmp_path, replace(config, seed=seed))
        with pytest.raises(UserError, match="no manifest.json"):
            dataset.build_dataset(Run(TRAIN_BRATS, request, tf.distribute.get_strategy()))
        return found and "drawn anew" not in capsys.readouterr().out

    monkeypatch.setattr(dataset, "draw_set", draw)
    assert not build() and build()
    assert build(replace(TINY, dataset=replace(TINY.dataset, samples=99)))
    stricter = replace(TINY, dataset=replace(TINY.dataset, min_score=0.9))
    assert not build(stricter) and build(stricter)
    assert not build(stricter, seed=1)
    monkeypatch.setattr(Run, "weights_hash", lambda run, stage: "7")
    assert not build(stricter, seed=1)


@pytest.mark.parametrize(
    "change",
    [
        {"preset": 7},
        {"data": [1]},
        {"precision": 3},
        {"precision": "float8"},
        {"config": 3},
        {"earlier": 3},
        {"skip_bad": "x"},
        {"run": 1},
    ],
)
def test_a_config_of_other_types_is_refused_in_a_sentence(tmp_path, change):
    start = {"preset": "tiny", "data": None, "precision": "float32", "config": {}}
    write_json(tmp_path / "config.json", start)
    assert saved_run(tmp_path, "--run needs")["preset"] == "tiny"
    write_json(tmp_path / "config.json", {**start, **change})
    with pytest.raises(UserError, match="config.json does not describe a run .*; start a new"):
        saved_run(tmp_path, "--run needs")

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import tensorflow as tf

from experiments.configs.brats import DEMO, PRESETS, TINY
from experiments.engine import cli
from experiments.engine.cli import default_cache, main, parse
from experiments.engine.recording import record_start
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.experiments.conftest import SCRIPT, train
from utils.errors import UserError
from utils.runs.environment import REPOSITORY
from utils.runs.exits import exit_code
from utils.runs.files import write_json
from utils.training.faults import NonFiniteError
from utils.training.signals import Interrupted

STAGES = ("structure", "segmentation", "report")
SHORT = replace(
    TRAIN_BRATS, stages=tuple(replace(TRAIN_BRATS.stage(name), needs=()) for name in STAGES)
)


def read(*words: str):
    return parse(words, SHORT)


@pytest.fixture
def start(monkeypatch):
    """Runs a command line with another function in the place of `perform`; its exit code."""

    def started(perform, *words: str) -> int:
        monkeypatch.setattr(cli, "perform", perform)
        return main(SHORT, words)

    return started


@pytest.fixture
def begun(tmp_path) -> Path:
    """A run directory that was started with `--preset tiny --seed 4` on the phantom."""
    config = asdict(replace(TINY, seed=4))
    start = {"preset": "tiny", "data": None, "precision": "mixed_bfloat16", "config": config}
    write_json(tmp_path / "run" / "config.json", start)
    return tmp_path / "run"


def test_the_preset_depends_on_the_data(tmp_path):
    assert (read().preset, read().config) == ("demo", DEMO)
    data = read("--data", str(tmp_path))
    assert (data.preset, data.config, data.data) == ("thesis", PRESETS["thesis"], tmp_path)
    assert read("--data", str(tmp_path), "--preset=tiny").config == TINY


def test_options_beat_files_and_files_beat_the_preset(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 5\nstructure:\n  width: 3\n")
    file = ("--config", str(tmp_path / "a.yaml"))
    tiny = ("--preset", "tiny")
    expected = replace(TINY, seed=5, structure=replace(TINY.structure, width=3))
    assert read(*tiny, *file).config == expected
    joined = ("--seed=6", f"--config={file[1]}")
    for words in ((*file, "--seed", "6"), ("--seed", "6", *file), joined):
        assert read(*tiny, *words).config == replace(expected, seed=6)


@pytest.mark.parametrize("line", ["preset: tiny", "resume: true", "data: ."])
def test_what_decides_the_configuration_stands_on_the_command_line(tmp_path, line):
    (tmp_path / "a.yaml").write_text(line)
    name = line.split(":")[0]
    with pytest.raises(UserError, match=f"a --config file sets {name}; give --{name} on the"):
        read("--config", str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--presets", "tiny"), "unknown option --presets; did you mean --preset?"),
        (("--dry",), "unknown option --dry"),
        (("--synthesis.lerning_rate=1"), "did you mean --synthesis.learning_rate?"),
        (("--seed", "many"), "--seed is 'many'; give a whole number"),
        (("--preset", "huge"), "invalid choice: 'huge' (choose from 'tiny', 'demo', 'thesis')"),
        (("--precision", "half"), "invalid choice: 'half'"),
    ],
)
def test_bad_usage_exits_with_2(words, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        read(*([words] if isinstance(words, str) else words))
    assert caught.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "no/such"), "--data no/such is not a folder"),
        (("--devices", "0"), "--devices is 0; give 1 or more"),
        (("--stages", "report,struct"), "--stages is 'report,struct'; choose from structure, seg"),
        (("--stages", ","), "choose from structure, segmentation, report"),
        (("--maps.modality", "T3"), "--maps.modality is 'T3'"),
        (("--maps.structure_median", "4"), "--maps.structure_median is 4; give an odd number"),
        (("--schedule.structure.log_every", "0"), "--schedule.structure.log_every is 0; give 1"),
        (("--synthesis.adversarial.fake=-1",), "--synthesis.adversarial.fake is -1.0; give 0"),
        (("--structure.width", "0"), "--structure.width is 0; give 2 to 4096"),
        (("--synthesis.width", "0"), "--synthesis.width is 0; give 1 to 4096"),
        (("--synthesis.condition", "x"), "is 'x'; give one of concat, conditional_instance_norm"),
        (("--synthesis.noise=[.6,.5]",), "noise is (0.6, 0.5); give two numbers in asc"),
        (("--registration.registered=false",), "needs --registration.registered true"),
        (("--test_fraction", "1"), "--test_fraction is 1.0; give a share between 0 and 1"),
        (("--phantom_subjects", "1"), "--phantom_subjects is 1; give 2 or more"),
        (("--evaluation.ssim_pairs", "0"), "--evaluation.ssim_pairs is 0; give 1 or more"),
        (("--resume",), "--resume needs --out with a run directory"),
    ],
)
def test_bad_values_are_told_in_a_sentence(words, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        read("--preset", "tiny", *words)


def test_mixed_precision_refuses_kernels_that_differ_by_their_noise_alone():
    mixed = ("--preset=tiny", "--precision=mixed_bfloat16")
    assert read(*mixed).precision == "mixed_bfloat16"
    kernels = ("--structure.initializer=mean_filter", "--synthesis.initializer=mean_filter_exact")
    remedy = "add --structure.initializer he_normal --synthesis.initializer he_normal or leave out"
    with pytest.raises(UserError, match=remedy):
        read(*mixed, *kernels)
    assert read(mixed[0], *kernels).config.structure.initializer == "mean_filter"


def test_stages_run_in_their_own_order():
    assert read().stages == STAGES
    assert read("--stages", "report, structure").stages == ("structure", "report")


def test_a_run_is_never_overwritten(begun):
    with pytest.raises(UserError, match="already holds a run; add --resume or choose another"):
        read("--out", str(begun))
    assert read("--out", str(begun), "--dry-run").out == begun


def test_runs_of_the_same_second_have_folders_of_their_own(monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "20260102-030405")
    first, second = (str(read("--preset", "tiny").out) for _ in range(2))
    assert re.fullmatch(r"runs/train_brats-tiny-20260102-030405-[0-9a-f]{6}", first)
    assert first != second and first[:-6] == second[:-6]
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UserError, match="--out is missing; give a folder that all workers of TF_"):
        read("--preset", "tiny")


def test_a_resumed_run_keeps_its_configuration(begun):
    launch = read("--out", str(begun), "--resume")
    assert (launch.config, launch.preset) == (replace(TINY, seed=4), "tiny")
    assert (launch.data, launch.precision, launch.resume) == (None, "mixed_bfloat16", True)
    again = read("--out", str(begun), "--resume", "--seed=4", "--preset", "tiny")
    assert again == replace(launch, command=again.command)


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (("--seed", "5"), "seed: 4 -> 5"),
        (("--structure.map_size=[40,24]",), "structure.map_size: (32, 24) -> (40, 24)"),
        (("--preset", "demo"), "preset: tiny -> demo"),
        (("--precision", "float32"), "precision: mixed_bfloat16 -> float32"),
        (("--data", "."), "data: the phantom -> ."),
    ],
)
def test_a_resumed_run_refuses_changes(begun, words, change):
    with pytest.raises(UserError, match=re.escape(f"command line changes {change}; leave these")):
        read("--out", str(begun), "--resume", *words)


def test_a_runs_data_may_move(begun, tmp_path, start):
    saved = json.loads((begun / "config.json").read_text())
    write_json(begun / "config.json", {**saved, "data": str(tmp_path / "old")})
    words = ("--out", str(begun), "--resume")
    with pytest.raises(UserError, match="old is not a folder; give the new place of the run's"):
        read(*words)
    (tmp_path / "new").mkdir()
    moved = read(*words, "--data", str(tmp_path / "new"))
    assert moved.data == tmp_path / "new" and f"--data {tmp_path / 'new'}" in moved.command
    assert start(record_start, *words, "--data", str(tmp_path / "new")) == 0
    assert read(*words).data == tmp_path / "new"
    assert json.loads((begun / "config.json").read_text()) == {
        **saved,
        "data": str(moved.data),
        "script": "experiments/train_brats.py",
    }


@pytest.mark.parametrize("content", ["", "[]", '{"preset": "tiny"}'])
def test_a_damaged_run_is_told(begun, content):
    (begun / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config.json does not describe a run\b.*new --out"):
        read("--out", str(begun), "--resume")


def test_the_printed_command_repeats_the_choices(begun, tmp_path):
    program = f"{sys.executable} {REPOSITORY / SCRIPT}"
    assert read("--out", "a b").command == f"{program} --out 'a b' --resume"
    words = ["--stages=structure", "--devices=2", f"--cache={tmp_path}"]
    launch = read("--out", str(begun), "--resume", *words)
    assert shlex.join(shlex.split(launch.command)[:2]) == program
    assert read(*shlex.split(launch.command)[2:]) == launch


def test_the_cache_follows_the_desktop_convention(monkeypatch):
    assert default_cache() == Path(os.environ["XDG_CACHE_HOME"]) / "synthetic-labelled-mri"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "synthetic-labelled-mri"


@pytest.mark.parametrize(
    ("failure", "code", "sentence"),
    [
        (UserError("No data."), 2, "error: No data.\n"),
        (NonFiniteError("loss/G"), 1, "error: loss/G\n"),
        (OSError("disk full"), 1, "error: disk full\n"),
        (tf.errors.InternalError(None, None, "broken"), 1, "error: broken\n"),
        (
            KeyboardInterrupt(),
            130,
            f"interrupted, what is finished is saved; continue with: {sys.executable}",
        ),
        (Interrupted("step 3"), 130, "interrupted (step 3), what is finished is saved; continue"),
    ],
)
def test_failures_have_exit_codes_and_no_traceback(
    tmp_path, capsys, start, failure, code, sentence
):
    def fail(run):
        record_start(run)
        raise failure

    assert start(fail, "--preset=tiny", "--out", str(tmp_path / "run")) == code
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error
    assert (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_outside_of_training_ends_with_130(capsys, monkeypatch, number):
    """Background jobs of a script ignore SIGINT, and must not ignore SIGTERM for that."""
    before = signal.getsignal(signal.SIGINT)
    try:
        if number == signal.SIGTERM:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert exit_code(lambda: signal.raise_signal(number), lambda: "nothing is done") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "\ninterrupted, nothing is done\n"


@pytest.mark.parametrize("failure", [UserError("No data."), KeyboardInterrupt()])
def test_what_stops_before_the_data_is_found_leaves_nothing(tmp_path, capsys, start, failure):
    def fail(run):
        write_json(run.splits, {})
        raise failure

    out = tmp_path / "run"
    assert start(fail, "--preset=tiny", "--out", str(out)) in (2, 130)
    error = capsys.readouterr().err
    assert not out.exists() and "--resume" not in error
    assert ("give the same command again" in error) == isinstance(failure, KeyboardInterrupt)
    out.mkdir()
    (out / "splits.json").write_text("mine")
    with pytest.raises(ZeroDivisionError):
        start(lambda run: 1 / 0, "--preset=tiny", "--out", str(out))
    assert [path.name for path in out.iterdir()] == ["splits.json"]


def test_a_mistake_in_the_data_or_stages_leaves_no_run(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    words = ("--preset=tiny", "--out", str(tmp_path / "run"), "--data", str(tmp_path / "empty"))
    assert train(*words) == 2 and str(tmp_path / "empty") in capsys.readouterr().err
    assert train(*words, "--stages=segmentation,evaluate") == 2
    needs = "evaluate, which needs registration, dataset, neither chosen nor finished"
    assert needs in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert train("--preset=tiny", "--slicing.downsample=4", "--dry-run") == 2
    assert "48x36 pixels" in capsys.readouterr().err


def test_stages_need_what_is_neither_chosen_nor_finished():
    def done(stage) -> bool:
        return stage.name in ("segmentation", "registration", "dataset")

    TRAIN_BRATS.check_needs(["structure", "evaluate", "report"], done)
    with pytest.raises(UserError, match="has synthesis, which needs structure,"):
        TRAIN_BRATS.check_needs(["synthesis"], done)
    place = TRAIN_BRATS.names.index
    stages = (stage for stage in TRAIN_BRATS.stages if not stage.part_of)
    assert all(place(name) < place(stage.name) for stage in stages for name in stage.needs)


def test_debug_shows_the_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train", "--debug"])
    assert main(SHORT, ["--devices=0"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_new_run_is_recorded_once(tmp_path, start):
    words = ["--preset=tiny", "--out", str(tmp_path / "run"), "--precision=mixed_bfloat16"]
    policies = []

    def perform(run):
        record_start(run)
        policies.append(tf.keras.mixed_precision.global_policy().name)

    assert start(perform, *words) == 0
    text = (tmp_path / "run" / "config.json").read_text()
    config = json.loads(json.dumps(asdict(TINY)))
    recorded = {"preset": "tiny", "data": None, "precision": "mixed_bfloat16", "config": config}
    assert json.loads(text) == {**recorded, "script": "experiments/train_brats.py"}
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["replicas"] == 1 and environment["devices"] == ["CPU", "CPU"]
    written = (tmp_path / "run" / "config.json").stat().st_mtime_ns
    assert start(perform, *words[1:3], "--resume") == 0
    assert (tmp_path / "run" / "config.json").stat().st_mtime_ns == written
    assert policies == ["mixed_bfloat16"] * 2


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, capsys):
    words = ("--preset", "tiny", "--stages", "structure,dataset", "--dry-run")
    assert train(*words, "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")) == 0
    assert list(tmp_path.iterdir()) == []
    text = capsys.readouterr().out
    assert "stages: structure -> dataset\n" in text and "map_adversarial: 5.0" in text
    tables = re.findall(r"^(\w+) +([\d,]+)   (\w+) (\w)$", text, re.MULTILINE)
    networks = {name: (system, group) for name, _, system, group in tables}
    assert networks == {
        **{name: ("StructureGAN", "G") for name in ("E_s", "G_s", "G_m")},
        **{name: ("StructureGAN", "D") for name in ("D_z", "D_s")},
        **{f"G_l{i}": ("Segmentation", "G") for i in range(4)},
        "G_t": ("Registration", "G"),
        "D_t": ("Registration", "D"),
        "G": ("Synthesis", "G"),
        "D": ("Synthesis", "D"),
    }
    assert all(int(count.replace(",", "")) > 100 for _, count, _, _ in tables)
    steps = TINY.schedule.structure.steps
    lines = re.findall(r"^  (\w+) +(\d+) steps of batch \d+  \d+ MiB, \d+ of it", text, re.M)
    assert lines == [("structure", str(steps))]

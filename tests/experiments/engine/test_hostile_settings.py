"""YAML and JSON settings that try to run code, or say what no configuration says."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest

from experiments.configs.brats import TINY
from experiments.engine.cli import parse
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from utils.runs.exits import exit_code
from utils.runs.files import write_json


def complaint(capsys, *words: str) -> str:
    """Exit with code 2, after one line without a traceback; return it."""
    try:
        code = exit_code(lambda: parse(words, TRAIN_BRATS) and None, str)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1 and "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: !!python/object/apply:os.system ['touch {canary}']", "must be a YAML file with"),
        ("seed: !!python/object/new:os.system ['touch {canary}']", "python/object/new:os.system"),
        ("!!python/module:os {{}}", "must be a YAML file with plain values"),
        ("seed: !!python/tuple [1]", "python/tuple"),
        ("- 1", "must hold values by name, such as `seed: 1`, found list"),
        ("hello", "must hold values by name, such as `seed: 1`, found str"),
        ("", "must hold values by name, such as `seed: 1`, found NoneType"),
        ("a: [1", "must be a YAML file with plain values, but while parsing a flow sequence"),
        ("a: \x00", "must be a YAML file with plain values"),
        ("a: &x [1]\nb: *x", "*x is an alias; write the value itself"),
        ("{{a: " * 11 + "1" + "}}" * 11, "its groups lie more than 10 deep"),
        ("{{a: " * 100_000, "its groups lie more than 10 deep"),
        ("seed: 1\nseed: 2", "seed stands there twice"),
        ("structure: {{width: 1, width: 2}}", "width stands there twice"),
        (b"\xff\xfe\x00", "must be a YAML file with plain values"),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_named(tmp_path, capsys, text, sentence):
    file, canary = tmp_path / "a.yaml", tmp_path / "canary"
    file.write_bytes(text if isinstance(text, bytes) else text.format(canary=canary).encode())
    error = complaint(capsys, "--preset=tiny", "--config", str(file))
    assert error.startswith(f"error: --config {file} ") and sentence in error
    assert "correct it or give another file" in error and not canary.exists()


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    error = complaint(capsys, "--preset=tiny", f"--config={tmp_path / 'none.yaml'}")
    assert f"--config {tmp_path / 'none.yaml'} does not exist or is no file" in error


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("sede: 3", "unknown option --sede; did you mean --seed?"),
        ("structure:\n  widht: 3", "--structure.widht; did you mean --structure.width?"),
        ("strcture:\n  width: 3", "--strcture.width; did you mean --structure.width?"),
        ("structure:\n  class_path: os.system", "class_path"),
        ("seed: hello", "--seed is 'hello'; give a whole number"),
        ("seed: {a: 1}", "seed"),
    ],
)
def test_unknown_settings_are_refused_with_the_nearest_known_one(tmp_path, capsys, text, nearest):
    (tmp_path / "a.yaml").write_text(text)
    assert nearest in complaint(capsys, "--preset=tiny", "--config", str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sede": 3}, "unknown configuration field sede of BratsConfig"),
        ({"seed": "hello"}, "--seed is 'hello'; give a value of the type int"),
        ({"seed": None}, "--seed is None; give a value of the type int"),
        ({"seed": True}, "--seed is True; give a value of the type int"),
        ({"structure": 3}, "StructureConfig is 3; expected a mapping"),
        ({"structure": {"__class__": "os.system"}}, "unknown configuration field __class__"),
        ({"slicing": {**asdict(TINY.slicing), "rows": "ab"}}, "--slicing.rows is 'ab'; give"),
        ({"slicing": {**asdict(TINY.slicing), "rows": [1]}}, r"--slicing.rows is \[1\]; give"),
    ],
)
def test_a_runs_own_settings_are_checked_too(tmp_path, capsys, change, sentence):
    config = json.loads(json.dumps({**asdict(TINY), **change}))
    start = {"preset": "tiny", "data": None, "precision": "float32", "config": config}
    write_json(tmp_path / "config.json", start)
    error = complaint(capsys, "--out", str(tmp_path), "--resume")
    assert re.search(sentence, error), error


@pytest.mark.parametrize(
    "content", [b"\0", b"\xff", b"[" * 100_000, b"3", b'{"preset": NaN}'], ids=lambda text: text[:9]
)
def test_a_damaged_start_is_told(tmp_path, capsys, content):
    (tmp_path / "config.json").write_bytes(content)
    error = complaint(capsys, "--out", str(tmp_path), "--resume")
    assert f"{tmp_path / 'config.json'} does not describe a run" in error


def test_a_huge_file_is_not_read(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("#" * 1_000_001)
    assert "has more than 1000000 bytes" in complaint(capsys, f"--config={tmp_path / 'a.yaml'}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--out", ""], "--out is empty; give a folder or leave it out"),
        (["--data="], "--data is empty; give a folder or leave it out"),
        (["--seed", "9" * 5000], "--seed has too many digits; give a smaller number"),
        (["--synthesis.width", "1000000000"], "--synthesis.width is 1000000000; give 1 to 4096"),
        (["--structure.width", "1"], "--structure.width is 1; give 2 to 4096, G_m has half of it"),
    ],
)
def test_values_that_nobody_means_are_named(capsys, words, sentence):
    assert sentence in complaint(capsys, "--preset=tiny", *words)


def test_a_path_that_the_system_refuses_is_named(tmp_path, capsys):
    words = ("--preset=tiny", "--out", str(tmp_path / ("a" * 300)))
    assert exit_code(lambda: parse(words, TRAIN_BRATS) and None, str) == 1
    error = capsys.readouterr().err
    assert "aaa/config.json cannot be used (File name too long); check the path and" in error

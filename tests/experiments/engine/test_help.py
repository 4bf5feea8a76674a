"""What `--help` shows, and the named settings of other sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from experiments.configs.brats import PRESETS, TINY, VARIANTS
from experiments.engine.cli import main, parse
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.experiments.conftest import SCRIPT
from tests.experiments.test_published_configs import SCRIPTS
from utils.config import differences, with_values
from utils.runs.environment import REPOSITORY


def test_help_works_anywhere_beside_other_packages_of_the_same_names(tmp_path):
    for name in ("utils", "data", "models"):
        (tmp_path / "other" / name).mkdir(parents=True)
        (tmp_path / "other" / name / "__init__.py").write_text("raise ImportError('wrong one')\n")
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / SCRIPT), "--help-all"],
        cwd=tmp_path / "other",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "other"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    helps = helps_of(result.stdout)
    names = {words.split()[0] for words in helps}
    assert {"--data", "--stages", "--seed", "--synthesis.adversarial.real"} <= names
    assert [words for words, text in helps.items() if text.startswith("(")] == []


@pytest.mark.parametrize("experiment", SCRIPTS.values(), ids=SCRIPTS)
def test_every_option_of_every_script_has_a_text(experiment, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(experiment, ["--help-all"])
    helps = helps_of(capsys.readouterr().out)
    assert len(helps) > 10
    assert [words for words, text in helps.items() if text.startswith("(")] == []


def helps_of(text: str) -> dict[str, str]:
    """The help of each option; one without a text of its own shows its default alone."""
    blocks = re.findall(r"^  -.*(?:\n {10,}.*)*", text, re.MULTILINE)
    return dict(re.split(r"\s{2,}|(?<=[A-Z\]}])\n", block.strip(), maxsplit=1) for block in blocks)


def test_help_shows_what_people_use_and_help_all_the_rest(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    texts = []
    for word in ("--help", "--help-all"):
        with pytest.raises(SystemExit):
            parse([word], TRAIN_BRATS)
        texts.append(capsys.readouterr().out)
    few, many = ([words.split()[0].rstrip(",") for words in helps_of(text)] for text in texts)
    assert len(few) <= 24 and len(many) > 150 and set(few) < set(many)
    assert {"--data", "--variant", "--seed", "--slicing.label_scheme", "--help-all"} <= set(few)
    assert not {"--debug", "--synthesis.width"} & set(few) and "Loss weights" not in texts[0]
    assert "(default: 0)" in texts[0]
    assert "(type:" not in texts[1] and "default: null" not in texts[1]


def test_a_variant_changes_the_preset_and_gives_way_to_files_and_options(tmp_path, capsys):
    def config(*words: str):
        return parse(["--out", str(tmp_path / "out"), *words], TRAIN_BRATS).config

    variant = ("--variant", "released_code")
    assert not config(*variant).synthesis.label_input
    assert config(*variant).structure.outside_channels == "both"
    assert config(*variant, "--preset", "tiny").structure.width == TINY.structure.width
    file = tmp_path / "mine.yaml"
    file.write_text("synthesis:\n  label_input: true\n")
    assert config("--config", str(file), *variant).synthesis.label_input
    assert config("--synthesis.label_input", "true", *variant).synthesis.label_input
    with pytest.raises(SystemExit):
        config("--variant", "other")
    assert "invalid choice: 'other'" in capsys.readouterr().err


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("preset", ["demo", "thesis"])
def test_every_variant_differs_from_every_preset_in_all_that_it_names(variant, preset):
    changed = with_values(PRESETS[preset], VARIANTS[variant])
    names = {change.partition(":")[0] for change in differences(PRESETS[preset], changed)}
    already = {"demo": {name for name in VARIANTS[variant] if name.endswith("output_norm")}}
    assert names | already.get(preset, set()) == set(VARIANTS[variant])

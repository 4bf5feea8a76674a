from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

import pytest

from utils.config import (
    Parser,
    add_config,
    differences,
    field_types,
    from_dict,
    from_namespace,
    to_yaml,
)
from utils.errors import UserError, check_fields


@dataclass(frozen=True)
class Weights:
    """Weights.

    Args:
        cycle: of the cycle.
    """

    cycle: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "--weights.")


@dataclass(frozen=True)
class Network:
    """Network.

    Args:
        width: channels.
        size: height and width.
        name: of the network.
        weights: of the losses.
    """

    width: int = 64
    size: tuple[int, int] = (512, 512)
    name: Optional[str] = None
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True)
class Settings:
    """Settings.

    Args:
        seed: of everything.
        pretrain: before training.
        network: the network.
    """

    seed: int = 0
    pretrain: bool = False
    network: Network = field(default_factory=Network)


PRESET = Settings(seed=3, network=Network(8, (32, 24), weights=Weights(2.0)))


def read(*words: str) -> Settings:
    parser = Parser(prog="train", allow_abbrev=False)
    add_config(parser, PRESET)
    return from_namespace(Settings, parser.parse_args(list(words)))


def test_without_options_the_preset_comes_back():
    assert read() == PRESET


def test_dotted_options_change_one_field_each():
    words = ["--seed=4", "--pretrain=true", "--network.size=[5,6]", "--network.weights.cycle=.5"]
    network = Network(8, (5, 6), weights=Weights(0.5))
    assert read(*words) == Settings(seed=4, pretrain=True, network=network)


def test_a_file_changes_only_what_it_names(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("network:\n  size: [5, 6]\n  weights:\n    cycle: 0.5\n")
    network = Network(8, (5, 6), weights=Weights(0.5))
    assert read("--config", str(file)) == replace(PRESET, network=network)
    assert read("--config", str(file), "--network.size=[7,8]").network.size == (7, 8)


def test_a_configuration_written_as_yaml_is_read_back(tmp_path):
    config = Settings(1, True, Network(2, (3, 4), "deep", Weights(1e-5)))
    file = tmp_path / "a.yaml"
    file.write_text(to_yaml(config))
    assert read("--config", str(file)) == config


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--network.wdth=3"], "unknown option --network.wdth; did you mean --network.width?"),
        (["--see", "3"], "unknown option --see; did you mean --seed?"),
        (["--something-else"], "unknown option --something-else (see --help)"),
        (["network:\n  wdth: 3"], "unknown option --network.wdth; did you mean --network.width?"),
        (["sede: 3"], "unknown option --sede; did you mean --seed?"),
        (["--seed=x"], "--seed is 'x'; give a whole number (see --help)"),
        (["--seed=1.5"], "--seed is '1.5'; give a whole number (see --help)"),
        (
            ["--network.size=[1,2,3]"],
            "--network.size is '[1, 2, 3]'; give all 2 values in brackets",
        ),
        (["--network.size", "1", "2"], "in brackets, such as --network.size=[32,24] (see"),
        (["network:\n  weights:\n    cycle: x"], "--network.weights.cycle is 'x'; give a number"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, sentence, tmp_path, capsys):
    if not words[0].startswith("--"):
        (tmp_path / "a.yaml").write_text(words[0])
        words = ["--config", str(tmp_path / "a.yaml")]
    with pytest.raises(SystemExit) as caught:
        read(*words)
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert error.startswith("train: ") and sentence in error and error.count("\n") == 1


def test_an_option_that_may_be_left_out_names_its_kind_too(capsys):
    parser = Parser(prog="train")
    parser.add_argument("--devices", type=Optional[int])
    with pytest.raises(SystemExit):
        parser.parse_args(["--devices", "two"])
    error = capsys.readouterr().err
    assert error == "train: --devices is 'two'; give a whole number (see --help)\n"


def test_a_number_where_a_group_belongs_is_told(tmp_path):
    (tmp_path / "a.yaml").write_text("network: 3\n")
    with pytest.raises(UserError, match="Network is 3; expected a mapping of width, size"):
        read("--config", str(tmp_path / "a.yaml"))


def test_a_refused_value_is_told_by_the_option_that_was_given():
    with pytest.raises(UserError, match=r"^--network.weights.cycle is -1.0; give 0 or more$"):
        read("--network.weights.cycle=-1")
    with pytest.raises(UserError, match=r"^--weights.cycle is -1; give 0 or more$"):
        Weights(-1)


def test_every_option_has_its_help_and_default():
    parser = Parser(prog="train")
    add_config(parser, PRESET)
    text = " ".join(parser.format_help().split())
    for part in ("of everything (default: 3)", "of the cycle (default: "):
        assert part in text
    assert "--network.size [32,24] height and width" in text


def test_types_are_resolved():
    assert field_types(Network)["width"] is int and field_types(PRESET)["network"] is Network


def test_nested_mappings_become_the_dataclass():
    weights = {"cycle": 2.0}
    network = {"width": 1, "size": [2, 3], "name": None, "weights": weights}
    values = {"seed": 5, "pretrain": True, "network": network}
    assert from_dict(Settings, values) == Settings(5, True, Network(1, (2, 3), None, Weights(2.0)))
    del network["name"]
    with pytest.raises(UserError, match="without the configuration field name of Network"):
        from_dict(Settings, values)
    network.update(name=None, depth=3)
    with pytest.raises(UserError, match="unknown configuration field depth of Network"):
        from_dict(Settings, values)


def test_differences_are_named():
    other = replace(PRESET, seed=4, network=replace(PRESET.network, weights=Weights(0.5)))
    assert differences(PRESET, PRESET) == []
    assert differences(PRESET, other) == ["network.weights.cycle: 2.0 -> 0.5", "seed: 3 -> 4"]

from __future__ import annotations

from dataclasses import asdict, is_dataclass, replace
from typing import get_type_hints

import pytest

from data.brats.slices import output_size
from experiments.configs.brats import DEMO, PRESETS, THESIS, TINY, BratsConfig, Schedules
from experiments.configs.quality import QualityTableConfig
from experiments.configs.tc_mgan import Table2Config
from utils.config import Parser, add_config, field_types, from_dict, from_namespace, to_yaml
from utils.errors import UserError
from utils.training.trainer import Schedule

BOTH = pytest.mark.parametrize("name", ["tiny", "demo"])


def test_the_thesis_is_the_default():
    assert list(PRESETS) == ["tiny", "demo", "thesis"] and PRESETS["thesis"] == BratsConfig()


def test_the_thesis_has_its_sizes_and_schedule():
    assert THESIS.slicing.slices == (55, 105) and output_size(THESIS.slicing) == (184, 144)
    assert THESIS.test_fraction == 0.1 and not THESIS.pretrain
    assert THESIS.structure.map_size == (512, 512) and THESIS.structure.latent_size == 4096
    for part in (THESIS.structure, THESIS.segmentation, THESIS.registration, THESIS.synthesis):
        assert (part.width, part.learning_rate, part.initializer) == (64, 1e-5, "mean_filter")
    for part in (THESIS.registration, THESIS.synthesis):
        assert (part.condition, part.discriminator) == ("concat", "patch")
    translator = THESIS.registration
    assert (translator.code, translator.error, translator.decay) == (
        "target",
        "squared",
        "constant",
    )
    assert THESIS.schedule == Schedules(*[Schedule(steps=0, epochs=200, batch_size=4)] * 5)


@BOTH
def test_small_presets_fit_their_networks(name):
    config = PRESETS[name]
    size = output_size(config.slicing)
    assert [n % 8 for n in size] == [0, 0]  # three halvings, undone exactly
    assert config.structure.map_size == size  # no resizing between slice and map
    assert [n % 2**config.structure.halvings for n in size] == [0, 0]
    assert round(config.structure.latent_size**0.5) ** 2 == config.structure.latent_size


@BOTH
def test_small_presets_train_on_two_devices(name):
    schedules = asdict(PRESETS[name].schedule).values()
    assert all(schedule["batch_size"] % 2 == 0 for schedule in schedules)


@BOTH
def test_small_presets_have_patients_on_both_sides(name):
    config = PRESETS[name]
    held_out = round(config.phantom_subjects * config.test_fraction)
    assert 1 <= held_out < config.phantom_subjects


def test_tiny_is_smaller_than_demo_in_everything_that_costs_time():
    for count in ("phantom_subjects", "random_maps"):
        assert getattr(TINY, count) < getattr(DEMO, count)
    assert TINY.dataset.samples < DEMO.dataset.samples
    for stage in asdict(TINY.schedule):
        assert getattr(TINY.schedule, stage).steps < getattr(DEMO.schedule, stage).steps
    assert output_size(TINY.slicing) < output_size(DEMO.slicing)


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_survives_yaml_and_json(name, tmp_path):
    config = replace(PRESETS[name], seed=7)
    (tmp_path / "a.yaml").write_text(to_yaml(config))
    parser = Parser(prog="train")
    add_config(parser, PRESETS["demo"])
    options = parser.parse_args(["--config", str(tmp_path / "a.yaml")])
    assert from_namespace(BratsConfig, options) == config
    assert from_dict(BratsConfig, asdict(config)) == config


@pytest.mark.parametrize(
    "config, option, value",
    [
        (Table2Config(), "unet.width", 0),
        (Table2Config(), "schedule.steps", -1),
        (Table2Config(), "training.segmenter.width", 0),
        (Table2Config(), "training.gan.variant", "cycle"),
        (Table2Config(), "training.gan.image_size", [64, 64]),
        (Table2Config(), "training.schedule.gan.steps", -1),
        (QualityTableConfig(), "gan_sharp.width", 0),
        (BratsConfig(), "registration.adversarial.real", -1),
        (BratsConfig(), "slicing.downsample", 7),
    ],
)
def test_a_refused_value_is_told_by_its_whole_option(config, option, value):
    values = asdict(config)
    *groups, name = option.split(".")
    group = values
    for part in groups:
        group = group[part]
    group[name] = value
    with pytest.raises(UserError, match=f"^--{option} "):
        from_dict(type(config), values)


def parts(kind: type) -> list[type]:
    """A configuration's class and those of its groups."""
    groups = [part for part in field_types(kind).values() if is_dataclass(part)]
    return [kind, *(part for group in groups for part in parts(group))]


@pytest.mark.parametrize("kind", [BratsConfig, QualityTableConfig, Table2Config])
def test_inherited_fields_have_types_that_the_subclass_knows(kind):
    """The oldest jsonargparse looks names up in the module of the subclass alone."""
    for part in parts(kind):
        assert set(get_type_hints(part.__init__)) > set(field_types(part))

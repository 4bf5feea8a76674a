"""The variants of Table 1: what they leave out, how long they train, what they share."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from experiments.configs.brats import DEMO, THESIS
from experiments.configs.table1 import Table1Config
from experiments.engine.request import Request
from experiments.tables.ablation.table import chosen_variants, settings_frame
from experiments.tables.ablation.variants import (
    ORDERS,
    first_twin,
    pretraining_twin,
    variant_config,
    variant_run_config,
)
from utils.errors import UserError

NO_GUIDES = {"registration", "consistency", "lesion"}
# Fields in which each variant differs from F, and whether its labels lie inside the mask.
DIFFERENCES = {
    "thesis": {
        "A": ({"fusion", "reconstruction", "outside", *NO_GUIDES}, True),
        "B": ({"fusion", "noise", *NO_GUIDES}, False),
        "C": ({"fusion", "noise", *NO_GUIDES}, True),
        "D": (NO_GUIDES, True),
        "E": ({"lesion"}, True),
        "F": (set(), True),
    },
    "released": {
        "A": ({"fusion", "reconstruction", "outside", *NO_GUIDES}, True),
        "B": ({"label_input", "noise", *NO_GUIDES}, True),
        "C": ({"label_input", *NO_GUIDES}, True),
        "D": ({"label_input", "lesion"}, True),
        "E": (set(), False),
        "F": (set(), True),
    },
}


def chosen(order: str, variants: str) -> list:
    return chosen_variants(Request(Path("out"), None, options={"order": order, "rows": variants}))


def variant(order: str, letter: str):
    return next(variant for variant in ORDERS[order] if variant.letter == letter)


@pytest.mark.parametrize("order", list(ORDERS))
def test_arms_differ_from_the_complete_system_in_their_fields_only(order):
    complete, found = asdict(DEMO.synthesis), {}
    for one in ORDERS[order]:
        values = asdict(variant_config(one, DEMO.synthesis))
        found[one.letter] = ({k for k in values if values[k] != complete[k]}, one.match)
    assert found == DIFFERENCES[order]


def test_the_thesis_order_is_table_1_but_for_one_cell():
    table = settings_frame("thesis").set_index("variant")
    columns = ["structure map", "label inside mask", "noise fusion", "L_reg", "L_les"]
    ticks = {letter: "".join(table.loc[letter, columns].str[0]) for letter in table.index}
    assert ticks.pop("B") == "ynnnn"  # Table 1 has ynnny, the code of that order no lesion loss
    assert ticks == {"A": "nnnnn", "C": "yynnn", "D": "yyynn", "E": "yyyyn", "F": "yyyyy"}


def test_arms_train_as_the_main_run_with_equal_numbers_of_updates():
    table = Table1Config(pretraining_steps=7, steps=3, noise_learning_rate=0.5)
    for order, variants in ORDERS.items():
        for one in variants:
            config = variant_run_config(one, DEMO, table)
            phases = config.schedule.pretraining.steps * config.pretrain
            assert phases + config.schedule.synthesis.steps == 10
            assert config.pretrain == (one.letter != "A"), order
            rates = (config.synthesis.learning_rate, config.synthesis.discriminator_learning_rate)
            main_run = DEMO.synthesis.learning_rate, DEMO.synthesis.discriminator_learning_rate
            assert rates == ((0.5, 0.5) if one.letter == "A" else main_run)
            untouched = ("structure", "segmentation", "registration", "slicing", "dataset")
            assert all(getattr(config, name) == getattr(DEMO, name) for name in untouched)


def test_without_pretraining_or_steps_the_main_runs_lengths_hold():
    for one in ORDERS["thesis"]:
        config = variant_run_config(one, THESIS, Table1Config(seed=5))
        assert (config.schedule, config.pretrain, config.seed) == (THESIS.schedule, False, 5)
    noise = variant_run_config(
        variant("thesis", "A"), replace(THESIS, pretrain=True), Table1Config()
    )
    assert (noise.schedule.synthesis.steps, noise.schedule.synthesis.epochs) == (0, 400)
    complete = variant_run_config(variant("thesis", "F"), DEMO, Table1Config())
    assert complete == DEMO  # so that F is the trained run's own generator


def test_equal_arms_and_equal_inputs_are_trained_once():
    twins = {(o, a.letter): first_twin(o, a) for o, variants in ORDERS.items() for a in variants}
    own = {key: f"{key[0]}_{key[1]}" for key in twins}
    assert twins == {**own, ("released", "A"): "thesis_A", ("released", "F"): "thesis_F"}
    shared = {
        (o, a.letter): pretraining_twin(a) for o, variants in ORDERS.items() for a in variants[1:]
    }
    assert shared == {
        **dict.fromkeys([("thesis", "B"), ("thesis", "C")], "thesis_B"),
        **dict.fromkeys([("thesis", letter) for letter in "DEF"], "thesis_D"),
        ("released", "B"): "released_B",
        **dict.fromkeys([("released", "C"), ("released", "D")], "released_C"),
        **dict.fromkeys([("released", "E"), ("released", "F")], "thesis_D"),
    }


def test_arms_are_chosen_by_order_and_letter():
    names = [(order, one.letter) for order, one in chosen("both", "F, A")]
    assert names == [("thesis", "A"), ("thesis", "F"), ("released", "A"), ("released", "F")]
    assert len(chosen("released", "all")) == 6
    with pytest.raises(UserError, match="--order is 'x'; choose from thesis, released, both"):
        chosen("x", "all")
    with pytest.raises(UserError, match="--rows is 'A,G'; choose from A, B, C, D, E, F, or all"):
        chosen("thesis", "A,G")

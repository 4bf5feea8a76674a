"""The variants of Table 1 as data: what each leaves out of the complete system F, in two orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from experiments.configs.brats import BratsConfig
from experiments.configs.table1 import Table1Config
from models.structure_gan.config import SynthesisConfig
from utils.training.trainer import Schedule

NO_NOISE = {"noise": (0.0, 0.0)}
NO_REGISTRATION = {"registration": 0.0, "consistency": 0.0}
NO_LESION = {"lesion": 0.0}
NO_LABEL = {"label_input": False}
WEIGHTED = {"fusion": "weighted"}


@dataclass(frozen=True)
class Variant:
    """One row of Table 1.

    Attributes:
        letter: A to F.
        description: what distinguishes it, in words.
        changes: fields in which its SynthesisConfig differs from F's.
        match: labels are chosen inside the mask.
        reads_map: G sees a structure map; without, there is nothing to pre-train on.
    """

    letter: str
    description: str
    changes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    match: bool = True
    reads_map: bool = True

    @property
    def sees_label(self) -> bool:
        """Whether G reads the label."""
        return self.reads_map and self.changes.get("label_input", True)


# Neither a map nor a real slice belongs to a noise image: terms that compare with these are off.
NOISE = Variant(
    "A",
    "noise image instead of structure map and label",
    {
        "fusion": "noise",
        **NO_REGISTRATION,
        **NO_LESION,
        "reconstruction": 0.0,
        "outside": 0.0,
    },
    reads_map=False,
)
COMPLETE = Variant("F", "complete system")

# The thesis ticks the lesion loss for B; the code of this order has none there (nor in C, D, E), so
# the two disagree about one cell. The code is followed, or B to C would change two things at once.
THESIS = (
    NOISE,
    Variant(
        "B",
        "structure map, any label, 0.8 map + 0.2 label",
        {**WEIGHTED, **NO_NOISE, **NO_REGISTRATION, **NO_LESION},
        match=False,
    ),
    Variant(
        "C",
        "+ label inside the mask",
        {**WEIGHTED, **NO_NOISE, **NO_REGISTRATION, **NO_LESION},
    ),
    Variant("D", "+ noise fusion, label beside the map", {**NO_REGISTRATION, **NO_LESION}),
    Variant("E", "+ registration loss", NO_LESION),
    replace(COMPLETE, description="+ lesion loss (complete)"),
)
# In this order the code's G sees no label in any variant; here E and F are those of the main
# system.
RELEASED = (
    NOISE,
    Variant(
        "B",
        "structure map, no label",
        {**NO_LABEL, **NO_NOISE, **NO_REGISTRATION, **NO_LESION},
    ),
    Variant("C", "+ noise fusion", {**NO_LABEL, **NO_REGISTRATION, **NO_LESION}),
    Variant("D", "+ registration loss", {**NO_LABEL, **NO_LESION}),
    Variant("E", "+ any label and lesion loss", match=False),
    replace(COMPLETE, description="+ label inside the mask (complete)"),
)
ORDERS = {"thesis": THESIS, "released": RELEASED}
LETTERS = tuple(variant.letter for variant in THESIS)


def variant_config(variant: Variant, config: SynthesisConfig) -> SynthesisConfig:
    """Returns a variant's settings, given those of the complete system."""
    return replace(config, **variant.changes)


def variant_run_config(variant: Variant, config: BratsConfig, table: Table1Config) -> BratsConfig:
    """Returns the configuration that trains a variant, given the trained run's.

    All variants have one seed, so that they start from equal weights where their networks are
    equal and see the same slices in the same order. The variant without map has no pre-training;
    its adversarial steps are as many as the other variants' steps of both phases.
    """
    schedule, synthesis = config.schedule, variant_config(variant, config.synthesis)
    pretraining = replace(
        schedule.pretraining, steps=table.pretraining_steps or schedule.pretraining.steps
    )
    adversarial = replace(schedule.synthesis, steps=table.steps or schedule.synthesis.steps)
    pretrain = config.pretrain and variant.reads_map
    if config.pretrain and not variant.reads_map:
        adversarial = _both_phases(pretraining, adversarial)
        if table.noise_learning_rate:
            rate = table.noise_learning_rate
            synthesis = replace(synthesis, learning_rate=rate, discriminator_learning_rate=rate)
    return replace(
        config,
        seed=table.seed,
        pretrain=pretrain,
        synthesis=synthesis,
        schedule=replace(schedule, pretraining=pretraining, synthesis=adversarial),
    )


def _both_phases(pretraining: Schedule, adversarial: Schedule) -> Schedule:
    """Adversarial training as long as both phases, in steps or in epochs."""
    if pretraining.steps and adversarial.steps:
        return replace(adversarial, steps=pretraining.steps + adversarial.steps)
    return replace(adversarial, epochs=pretraining.epochs + adversarial.epochs)


def first_twin(order: str, variant: Variant) -> str:
    """Returns the name of the first variant of both orders that is trained alike: thesis_F."""
    return next(
        f"{name}_{other.letter}"
        for name, variants in ORDERS.items()
        for other in variants
        if (other.changes, other.match) == (variant.changes, variant.match)
    )


def pretraining_twin(variant: Variant) -> str:
    """Returns the name of the first variant with the same input of G: they share pre-training."""
    return next(
        f"{name}_{other.letter}"
        for name, variants in ORDERS.items()
        for other in variants
        if _input(other) == _input(variant)
    )


def _input(variant: Variant) -> tuple:
    config = variant_config(variant, SynthesisConfig())
    return config.fusion, config.noise, config.label_input

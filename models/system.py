"""The surface that the trainer sees of every training system."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Optional

import tensorflow as tf

from utils.training.distribute import LearningRate, apply_updates, make_optimizer, prepare_update

Batch = dict[str, tf.Tensor]
Terms = dict[str, tf.Tensor]

# Of variables that are no weights and part of a checkpoint, the same on every replica.
STATE = {
    "trainable": False,
    "initializer": "zeros",
    "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
    "experimental_autocast": False,
}


class GANSystem(abc.ABC):
    """Networks, optimisers and one training step; subclasses read like their paper's algorithm.

    Attributes:
        networks: every network of the system by its name in the paper.
        optimizers: one optimiser per loss group ("G", "D").
        groups: for each optimiser the names of the networks that it updates.
        monitored: the accuracies among the terms that must not stay near 1: the generator learns
            nothing from a discriminator that recognises every generated image. Not for a critic
            with gradient penalty, which is right about nearly all pairs in good trainings.

    Args:
        networks, groups: as above.
        learning_rates: learning rate of each optimiser; a schedule counts the optimiser's own
            updates, which a checkpoint holds.
        beta_1, beta_2: Adam's, for all optimisers.
        rmsprop: RMSprop in the place of Adam.
    """

    monitored: tuple[str, ...] = ()

    def __init__(
        self,
        networks: dict[str, tf.keras.Model],
        groups: dict[str, list[str]],
        learning_rates: Mapping[str, LearningRate],
        beta_1: float = 0.5,
        beta_2: float = 0.999,
        rmsprop: bool = False,
    ):
        self.networks = networks
        self.groups = groups
        self.optimizers = {
            group: make_optimizer(
                learning_rates[group],
                self.variables(group),
                beta_1,
                beta_2=beta_2,
                rmsprop=rmsprop,
            )
            for group in groups
        }

    def variables(self, group: str) -> list[tf.Variable]:
        """Returns the variables that the optimiser `group` updates."""
        return [v for name in self.groups[group] for v in self.networks[name].trainable_variables]

    def descend(
        self,
        tape: tf.GradientTape,
        losses: Mapping[str, tf.Tensor],
        due: Optional[tf.Tensor] = None,
    ) -> Terms:
        """Updates each group's networks by the gradient of its loss; call it in replica context.

        See `utils.training.distribute.apply_updates` for gradients that are not finite, and `due`.
        Returns `loss/<group>`, `gradient_norm/<group>`, with loss scaling `loss_scale/<group>`.
        """
        report = {f"loss/{group}": loss for group, loss in losses.items()}
        updates = {
            group: prepare_update(tape, loss, self.variables(group), self.optimizers[group])
            for group, loss in losses.items()
        }
        apply_updates(list(updates.values()), due)
        for group, update in updates.items():
            report.update(update.report(group))
        return report

    @abc.abstractmethod
    def train_step(self, batch: Batch) -> Terms:
        """Runs one iteration of the algorithm on one replica; returns scalars by name.

        A batch holds at least `seed` [B,2]; its other keys are the system's (see
        `data.contract`). Terms are per-replica means; the trainer averages them.
        """

    @abc.abstractmethod
    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns the system's outputs for a batch, without randomness beyond `batch["seed"]`."""

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> Optional[tuple[tf.Tensor, tf.Tensor]]:
        """Returns (generated, real) images for monitoring mode collapse, or None.

        Both are [B,H,W,M] in [0,1]. None for a system that labels images.
        """
        return None

"""The standard tests of a training system; a test module states what they need, in ten lines."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.slices import SliceConfig
from experiments.engine import plan
from experiments.engine.experiment import Experiment, Training
from experiments.engine.request import Request
from models.system import GANSystem
from tests.devices import mirrored_strategy
from tests.models.toys import assert_all_move, assert_step_equals, descend, random_batch, values
from utils.training.checkpoints import Checkpoints
from utils.training.trainer import Schedule

LONG = ("two_devices", "resuming", "mixed_precision", "dry_run")


class SystemTests:
    """Tests that every system has to pass; a subclass whose name starts with Test runs them.

    class TestToyGAN(SystemTests):
        groups = {"G": ["G"], "D": ["D"]}
        parameters = {"G": 17_947, "D": 1_234}
        split_rate = 0.1
        slow = ("two_devices",)

        def build(self):
            return calm(ToyGAN(ToyConfig(width=4, initializer="he_normal")))

        def reference(self, system, batch):
            D, fake = system.networks["D"], system.networks["G"](batch["structure"])
            d = {"D/real": mse(D(batch["images"]), 1.0), "D/fake": mse(D(fake), 0.0)}
            return {"G": {"G/adversarial": mse(D(fake), 1.0)}, "D": d}
    """

    groups: dict  # what the system trains: {optimiser: names of networks}
    parameters: dict  # of each network, those without gradient too
    rate = 1e3  # of the descent that a step is compared in; weights lose what is far smaller
    precision = 1e-4  # of the gradients' comparison
    in_turn = ()  # groups in the order of their updates, if each sees the new weights of others
    # Of the descent on two devices: weights move by more than 1e-3 in two steps, losses do not run
    # away; 0.1 is a first guess. None: the system takes each device's statistics alone.
    split_rate = None
    size = (32, 24)  # of the slices, pixels
    moments = 2  # that the optimisers keep of each weight
    slow = ()  # tests too long for every day, such as those of `LONG`, by name without "test_"

    def build(self) -> GANSystem:
        """A small system; its ReLUs calm, or losses differ by rounding (see `toys.calm`)."""
        raise NotImplementedError

    def reference(self, system: GANSystem, batch: dict):
        """{group: {name: term}} spelled out, for `assert_step_equals`, if there is any."""

    def guides(self, system: GANSystem) -> list:
        """Networks that the step reads and must not change."""
        return []

    def batch(self, samples: int = 2, seed: int = 0) -> dict:
        return random_batch(samples, seed, self.size)

    def __init_subclass__(cls):
        names = [name for name in dir(cls) if name.startswith("test_")]
        if cls.split_rate is None:
            names.remove("test_two_devices")
            cls.test_two_devices = None
        for name in names:
            test = inspect.unwrap(getattr(cls, name))
            setattr(cls, name, _slow(test) if name[len("test_") :] in cls.slow else test)

    @pytest.fixture(scope="class")
    def system(self, request) -> GANSystem:
        return request.cls()._built()

    def _built(self, seed: int = 0) -> GANSystem:
        tf.keras.utils.set_random_seed(seed)
        return self.build()

    def test_networks(self, system):
        """Their sizes, and who trains them: each weight has one optimiser at most."""
        assert {k: net.count_params() for k, net in system.networks.items()} == self.parameters
        assert system.groups == self.groups and set(system.optimizers) == set(self.groups)
        trained = [v.ref() for group in self.groups for v in system.variables(group)]
        assert len(set(trained)) == len(trained)

    def test_step(self, system):
        """It follows the reference and moves all weights of all groups, and none that guides."""
        batch, guides = self.batch(), self.guides(system)
        before = values(variables_of(guides))
        if type(self).reference is SystemTests.reference:
            descend(system, self.rate)
            start = {group: values(system.variables(group)) for group in system.groups}
            system.train_step(batch)
            for group in system.groups:
                assert_all_move(system, group, start[group], values(system.variables(group)))
        else:
            reference = functools.partial(self.reference, system, batch)
            assert_step_equals(system, batch, reference, self.rate, self.precision, self.in_turn)
        assert bool(before) == bool(guides)
        assert all(map(np.array_equal, before, values(variables_of(guides))))

    def test_two_devices(self):
        """Each with half of a batch, they train like one with all of it."""
        strategy = mirrored_strategy()
        one = self._built()
        with strategy.scope():
            two = self._built()
            descend(two, self.split_rate)
        descend(one, self.split_rate)
        start = weights(one)
        np.testing.assert_array_equal(weights(two), start)
        for step in range(2):
            batch = self.batch(2, step)
            expected = one.train_step(batch)
            terms = strategy.run(two.train_step, args=(shards(strategy, batch),))
            means = {k: strategy.reduce("MEAN", term, axis=None) for k, term in terms.items()}
            assert floats(means) == pytest.approx(floats(expected), rel=1e-4)
        moved, error = weights(one) - start, weights(two) - weights(one)
        assert np.linalg.norm(moved) > 1e-3, "raise split_rate"
        assert np.linalg.norm(error) < 1e-3 * np.linalg.norm(moved)
        for variable in state_of(two):  # neither device drifts away from the other
            first, second = strategy.experimental_local_results(variable)
            np.testing.assert_array_equal(first, second)

    def test_resuming(self, tmp_path):
        """From a checkpoint weights, moments and reports go on bit by bit."""
        whole, batches = self._built(), [self.batch(1, seed) for seed in range(2)]
        whole.train_step(batches[0])
        Checkpoints(whole, tmp_path).save(1)
        resumed = self._built(seed=1)
        for network, trained in zip(self.guides(resumed), self.guides(whole)):
            network.set_weights(trained.get_weights())  # a checkpoint holds what is trained
        assert np.any(weights(whole) != weights(resumed))
        assert Checkpoints(resumed, tmp_path).restore() == 1
        expected, found = (
            values([*system.train_step(batches[1]).values(), *state_of(system)])
            for system in (whole, resumed)
        )
        for ours, theirs in zip(found, expected):
            np.testing.assert_array_equal(ours, theirs)

    def test_mixed_precision(self):
        self.trains_in("mixed_bfloat16")

    def trains_in(self, precision: str, steps: int = 1) -> GANSystem:
        tf.keras.mixed_precision.set_global_policy(precision)
        try:
            system = self._built()
            before = weights(system)
            reports = [system.train_step(self.batch(1)) for _ in range(steps)]
        finally:
            tf.keras.mixed_precision.set_global_policy("float32")
        assert all(np.isfinite(float(term)) for report in reports for term in report.values())
        assert {term.dtype for term in reports[0].values()} == {tf.float32}
        assert all(float(reports[-1][f"gradient_norm/{group}"]) > 0 for group in system.groups)
        assert {v.dtype for g in system.groups for v in system.variables(g)} == {tf.float32}
        assert np.all(np.isfinite(weights(system))) and np.any(weights(system) != before)
        return system

    def test_dry_run(self, capsys, monkeypatch):
        """It prints networks, optimisers and memory: weights, also of guides, and moments."""
        estimated = []

        def estimate(*arguments) -> plan.Memory:
            estimated.append((arguments[0], plan_memory(*arguments)))
            return estimated[-1][1]

        plan_memory = plan.step_memory
        monkeypatch.setattr(plan, "step_memory", estimate)
        plan.print_plan(*self._request(), replicas=1)
        ((system, memory),) = estimated
        text = capsys.readouterr().out
        mib = [f"{size / 2**20:,.0f}" for size in (sum(memory), memory.kept)]
        assert re.search(rf"\n  system +3 steps of batch 1  {mib[0]} MiB, {mib[1]} of it", text)
        group_of = {net: group for group, nets in system.groups.items() for net in nets}
        for name, network in system.networks.items():
            count = sum(v.shape.num_elements() for v in network.trainable_variables)
            words = rf"\n{re.escape(name)} +{count:,} +{type(system).__name__} "
            assert re.search(words + group_of.get(name, ""), text)
        kept = variables_of([*system.networks.values(), *self.guides(system)])
        kept += [v for group in system.groups for v in self.moments * system.variables(group)]
        settings = memory.kept - 4 * sum(v.shape.num_elements() for v in kept)
        assert 0 <= settings < 100 * len(system.groups)
        assert memory.step > 4 * np.prod(self.size)

    def _request(self) -> tuple[Experiment, Request]:
        """An experiment of one stage, which trains the system, and a request for it."""
        stage = Training(
            "system",
            build=lambda run: self._built(),
            batches=lambda run, training: None,
            schedule=lambda run, name: Schedule(steps=3, batch_size=1),
        )
        config = Settings()
        data = replace(BRATS, size=lambda slicing: self.size)
        experiment = Experiment("train.py", "", {"tiny": config}, (stage,), data=data)
        return experiment, Request(Path("out"), config, "tiny", stages=("system",))


@dataclass(frozen=True)
class Settings:
    """All that a plan reads of a configuration."""

    slicing: SliceConfig = SliceConfig()
    seed: int = 0


def _slow(test):
    """A copy, so that the mark does not reach other systems."""

    @functools.wraps(test)
    def copy(*arguments, **options):
        test(*arguments, **options)

    return pytest.mark.slow(copy)


def shards(strategy: tf.distribute.Strategy, batch: dict) -> dict:
    """The first half of every tensor for the first device, the second for the second."""

    def shard(context):
        first = context.replica_id_in_sync_group
        return {k: tf.split(v, 2)[first] for k, v in batch.items()}

    return strategy.experimental_distribute_values_from_function(shard)


def floats(terms: dict) -> dict:
    return {name: float(term) for name, term in terms.items()}


def variables_of(networks) -> list:
    return [v for network in networks for v in network.variables]


def weights(system: GANSystem) -> np.ndarray:
    arrays = values(variables_of(system.networks.values()))
    return np.concatenate([array.ravel() for array in arrays])


def state_of(system: GANSystem) -> list:
    """All variables that a checkpoint holds."""
    optimizers = system.optimizers.values()
    return variables_of(system.networks.values()) + [v for o in optimizers for v in o.variables()]

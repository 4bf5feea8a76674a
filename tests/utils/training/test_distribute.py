"""Optimiser, loss scaling, updates on several devices, choice of devices."""

from __future__ import annotations

import json
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.structure_gan.map_networks import CodePrior
from tests.devices import mirrored_strategy
from tests.models.harness import shards
from tests.models.toys import values
from utils.errors import UserError
from utils.training.distribute import (
    Update,
    apply_updates,
    cpu_note,
    is_chief,
    keeping_rates,
    make_optimizer,
    make_strategy,
    prepare_update,
    wait_for_all_workers,
)


@pytest.fixture(scope="module")
def mirrored() -> tf.distribute.Strategy:
    return mirrored_strategy()


@pytest.fixture
def policy():
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy("float32")


def test_the_fitted_prior_sees_the_codes_of_all_devices(mirrored):
    one = CodePrior(3, decay=0.9)
    with mirrored.scope():
        two = CodePrior(3, decay=0.9)
    codes = {"codes": tf.random.stateless_normal([4, 3], [1, 2])}
    one.update(codes["codes"])
    mirrored.run(lambda batch: two.update(batch["codes"]), args=(shards(mirrored, codes),))
    assert np.any(values(one.variables)[0] != 0)
    for found, expected in zip(values(two.variables), values(one.variables)):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_optimiser_equals_adam_by_hand():
    """Kingma & Ba 2015 with beta1 0.5, beta2 0.999 and TensorFlow 1's place of epsilon."""
    expected, m, v = np.array([1.0, -2.0, 3.0]), 0.0, 0.0
    variable = tf.Variable(expected, dtype=tf.float32)
    optimizer = make_optimizer(0.1, [variable])
    for t, gradient in enumerate(np.array([[1.0, -0.1, 1e-8], [2.0, 0.3, 0.0]]), 1):
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
        m, v = 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.1 * (1 - 0.999**t) ** 0.5 / (1 - 0.5**t)
        expected = expected - rate * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(variable, expected, rtol=1e-5)


def test_a_checkpoint_holds_the_whole_optimiser_before_the_first_step(tmp_path):
    variables = [tf.Variable(tf.ones([3])), tf.Variable(1.0)]
    optimizer = make_optimizer(0.1, variables)
    checkpoint = tf.train.Checkpoint(optimizer=optimizer, first=variables[0], second=variables[1])

    def saved(name):
        return tf.train.list_variables(checkpoint.write(str(tmp_path / name)))

    before = saved("before")
    moments = [name for name, _ in before if "OPTIMIZER_SLOT" in name]
    assert len(moments) == 2 * 2
    optimizer.apply_gradients([(tf.ones_like(v), v) for v in variables])
    assert saved("after") == before


@pytest.mark.parametrize(
    "name, wrapped", [("float32", False), ("mixed_bfloat16", False), ("mixed_float16", True)]
)
def test_only_float16_needs_loss_scaling(policy, name, wrapped):
    policy(name)
    optimizer = make_optimizer(0.1, [tf.Variable(1.0)])
    assert isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer) == wrapped


def test_missing_gradient_names_the_variable():
    used, unused = tf.Variable(1.0, name="used"), tf.Variable(1.0, name="unused")
    with tf.GradientTape() as tape:
        loss = used * 2.0
    with pytest.raises(ValueError, match="no gradient reaches unused:0$"):
        prepare_update(tape, loss, [used, unused], make_optimizer(0.1, [used, unused]))
    assert float(used) == 1.0


def updated(tape, loss, variable, optimizer) -> Update:
    """The update that one variable has had."""
    update = prepare_update(tape, loss, [variable], optimizer)
    apply_updates([update])
    return update


def scaled_step(variable, optimizer, factor: float) -> float:
    """One step on the loss factor * (3 v0 + 4 v1) / 5 in float16; returns the norm."""
    with tf.GradientTape() as tape:
        product = tf.cast(variable, tf.float16) * tf.constant([0.6, 0.8], tf.float16)
        loss = tf.reduce_sum(tf.cast(product, tf.float32)) * factor
    return float(updated(tape, loss, variable, optimizer).report("G")["gradient_norm/G"])


def test_loss_scaling_rescues_small_gradients_and_unscales_the_norm(policy):
    policy("mixed_float16")
    variable = tf.Variable([1.0, 1.0])
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.legacy.SGD(1e6))
    # 6e-9 is zero in float16; times the initial scale of 2^15 it is not.
    assert scaled_step(variable, optimizer, 1e-8) == pytest.approx(1e-8, rel=0.01)
    assert variable.numpy() == pytest.approx([1 - 0.006, 1 - 0.008], rel=1e-4)


def test_a_step_that_overflows_is_skipped_and_reports_zero(policy):
    policy("mixed_float16")
    variable = tf.Variable([1.0, 1.0])
    optimizer = make_optimizer(0.1, [variable])
    scale = float(optimizer.loss_scale)
    assert scaled_step(variable, optimizer, 1e3) == 0.0  # 600 * 2^15 is no float16
    assert list(variable.numpy()) == [1.0, 1.0]
    assert float(optimizer.loss_scale) == scale / 2


def pair_of_groups() -> tuple:
    """Two variables, each with an optimiser of its own."""
    variables = [tf.Variable([1.0, 2.0]), tf.Variable([3.0])]
    return variables, [make_optimizer(0.1, [variable]) for variable in variables]


def state_of(variables, optimizers) -> list:
    return values([*variables, *(v for optimizer in optimizers for v in optimizer.variables())])


def step_of(variables, optimizers, apply=apply_updates):
    """A step whose gradients are x for the first group and the mean of y for the second."""

    def step(x, y):
        with tf.GradientTape(persistent=True) as tape:
            losses = (tf.reduce_sum(x * variables[0]), tf.reduce_sum(y * variables[1]))
        apply(
            [
                prepare_update(tape, loss, [variable], optimizer)
                for loss, variable, optimizer in zip(losses, variables, optimizers)
            ]
        )

    return step


def apply_always(updates) -> None:
    """What `apply_updates` does to finite gradients, without its condition."""
    for update in updates:
        update.optimizer.apply_gradients(zip(update.gradients, update.variables))


def test_finite_updates_are_plain_ones_bit_by_bit():
    groups, plain = pair_of_groups(), pair_of_groups()
    steps = [tf.function(step_of(*groups)), tf.function(step_of(*plain, apply_always))]
    for number in range(1, 6):
        x, y = tf.constant([0.3, -1e-9]) * number, tf.constant([0.7]) / number
        for step in steps:
            step(x, y)
    for found, expected in zip(state_of(*groups), state_of(*plain)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("x, y", [(np.nan, 1.0), (1.0, np.inf), (1.0, -np.nan)])
@pytest.mark.parametrize("devices", [1, 2])
def test_no_group_moves_if_one_gradient_is_not_finite(mirrored, devices, x, y):
    """Neither weights nor moments nor counters, also if only the second device has bad cases."""
    strategy = mirrored if devices == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        groups = pair_of_groups()
    step = step_of(*groups)

    run = tf.function(lambda x, y: strategy.run(step, args=(x, y)), autograph=False)

    def dealt(*of_devices):
        deal = strategy.experimental_distribute_values_from_function
        return deal(lambda context: tf.constant([of_devices[context.replica_id_in_sync_group]]))

    good, bad = dealt(1.0, 1.0), dealt(*([1.0, y][-devices:]))
    run(tf.constant([0.5, -2.0]), good)
    before = state_of(*groups)
    assert before[0][0] != 1.0 and before[1][0] != 3.0
    run(tf.constant([x, 1.0]), bad)
    for found, expected in zip(state_of(*groups), before):
        np.testing.assert_array_equal(found, expected)
    run(tf.constant([0.5, -2.0]), good)
    assert all(np.any(a != b) for a, b in zip(state_of(*groups)[:2], before))


def test_a_checkpoint_does_not_bring_back_former_rates(policy):
    for name in ("float32", "mixed_float16"):
        policy(name)
        optimizers = [make_optimizer(rate, [tf.Variable(1.0)]) for rate in (0.1, 0.2)]
        with keeping_rates(optimizers):
            for optimizer in optimizers:
                optimizer.learning_rate.assign(9.0)
                optimizer.beta_1.assign(0.0)
        assert [float(o.learning_rate) for o in optimizers] == pytest.approx([0.1, 0.2])
        assert [float(o.beta_1) for o in optimizers] == [0.5, 0.5]
    schedule = tf.keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.2])
    with keeping_rates([make_optimizer(schedule, [])]):
        pass


def test_loss_scaling_on_two_devices(policy, mirrored):
    policy("mixed_float16")
    with mirrored.scope():
        variable = tf.Variable([1.0, 1.0])
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.legacy.SGD(1.0))

    def step(shard):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(shard["x"]) * tf.reduce_sum(variable)
        return updated(tape, loss, variable, optimizer).norm

    batch = shards(mirrored, {"x": tf.constant([0.1, 0.3])})  # each device has its own gradient
    norms = mirrored.experimental_local_results(mirrored.run(step, args=(batch,)))
    assert [float(norm) for norm in norms] == pytest.approx([0.2 * 2**0.5] * 2, rel=1e-3)
    assert variable.numpy() == pytest.approx([0.8, 0.8], rel=1e-3)


@pytest.fixture
def alone(monkeypatch):
    """No cluster in the environment."""
    monkeypatch.delenv("TF_CONFIG", raising=False)


def test_strategies_without_gpu(alone):
    for one in (None, 1):
        assert make_strategy(one) is tf.distribute.get_strategy()
    two = make_strategy(2)
    assert isinstance(two, tf.distribute.MirroredStrategy) and two.num_replicas_in_sync == 2
    tf.zeros([1])  # TensorFlow runs from here on
    with pytest.raises(UserError, match="--devices is 3 but TensorFlow already runs with 2 CPU"):
        make_strategy(3)


def test_a_mistyped_number_of_devices_is_refused_at_once():
    with pytest.raises(UserError, match="--devices is 1000000, .*; give at most 64"):
        make_strategy(1_000_000)


def test_all_gpus_or_the_first_ones(alone, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a", "b", "c"])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda found: found)
    assert make_strategy(None) == ["/gpu:0", "/gpu:1", "/gpu:2"]
    assert make_strategy(2) == ["/gpu:0", "/gpu:1"]
    with pytest.raises(UserError, match="--devices is 4 but this machine has 3 GPU"):
        make_strategy(4)


def test_a_cluster_chooses_its_devices(monkeypatch, capsys):
    content = {"cluster": {"worker": ["a:1231", "b:1232"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(content))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: "cluster")
    assert make_strategy() == "cluster"
    waits = "worker 1 (b:1232) waits for all 2 processes of the cluster\n"
    assert capsys.readouterr().err == waits
    with pytest.raises(UserError, match="--devices is 4 but .* TF_CONFIG chooses"):
        make_strategy(4)


def test_a_run_without_gpu_says_so(monkeypatch):
    note = "training on the CPU: TensorFlow sees no GPU"
    assert cpu_note() == note
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/proc/driver/nvidia/version")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert cpu_note() == note
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert cpu_note().startswith(f"{note} although this machine has NVIDIA's driver; install")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a"])
    assert cpu_note() is None


@pytest.mark.parametrize(
    "jobs, task, chief",
    [
        ({}, (None, None), True),
        ({"worker": ["a", "b"]}, ("worker", 0), True),
        ({"worker": ["a", "b"]}, ("worker", 1), False),
        ({"chief": ["a"], "worker": ["b"]}, ("chief", 0), True),
        ({"chief": ["a"], "worker": ["b"]}, ("worker", 0), False),
    ],
)
def test_one_process_is_the_chief(jobs, task, chief):
    resolver = types.SimpleNamespace(
        cluster_spec=lambda: tf.train.ClusterSpec(jobs), task_type=task[0], task_id=task[1]
    )
    assert is_chief(types.SimpleNamespace(cluster_resolver=resolver)) == chief


def test_a_single_process_is_the_chief_and_waits_for_nobody(mirrored):
    for strategy in (tf.distribute.get_strategy(), mirrored):
        assert is_chief(strategy) and wait_for_all_workers(strategy) is None

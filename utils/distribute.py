"""tf.distribute: choice of strategy, and the one place that applies gradients."""

from __future__ import annotations

import json
import os
from typing import Optional, Union

import tensorflow as tf

from utils.errors import UserError


def make_strategy(devices: Optional[int] = None) -> tf.distribute.Strategy:
    """Returns the strategy for this process.

    With TF_CONFIG in the environment: MultiWorkerMirroredStrategy. Otherwise all GPUs, or the first
    `devices` of them; without a GPU, `devices` > 1 splits the CPU into logical devices.

    Raises UserError for a TF_CONFIG without a usable cluster and task or together with `devices`,
    if more GPUs are asked for than there are, or if TensorFlow is already running with too few
    logical CPU devices.
    """
    cluster = os.environ.get("TF_CONFIG")
    if cluster:
        _check_cluster(cluster)
        if devices is not None:
            raise UserError(
                f"--devices is {devices} but the environment variable TF_CONFIG chooses the "
                "devices; leave out one of them"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if devices is not None and devices > len(gpus):
            raise UserError(f"--devices is {devices} but this machine has {len(gpus)} GPU(s)")
        names = [f"/gpu:{i}" for i in range(devices or len(gpus))]
    else:
        names = _logical_cpus(devices or 1)
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()


def _check_cluster(text: str) -> None:
    """Raises UserError unless TF_CONFIG names a cluster and this process' place in it."""
    try:
        content = json.loads(text)
        job, index = content["task"]["type"], int(content["task"]["index"])
        addresses = content["cluster"][job]
        usable = isinstance(addresses, list) and 0 <= index < len(addresses)
    except (ValueError, KeyError, TypeError):
        usable = False
    if not usable:
        raise UserError(
            f"The environment variable TF_CONFIG is {text!r}; expected JSON such as "
            '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}} '
            "whose task is part of its cluster; correct or unset it"
        )


def _logical_cpus(count: int) -> list[str]:
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            if len(tf.config.get_logical_device_configuration(cpu) or ()) < count:
                tf.config.set_logical_device_configuration(
                    cpu, [tf.config.LogicalDeviceConfiguration()] * count
                )
        except RuntimeError:
            available = len(tf.config.list_logical_devices("CPU"))
            raise UserError(
                f"--devices is {count} but TensorFlow already runs with {available} CPU device(s); "
                "choose the devices before the first computation"
            ) from None
    return [f"/cpu:{i}" for i in range(count)]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes files (always true for a single process)."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return True
    return resolver.task_type in (None, "chief") or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def wait_for_all_workers(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker has come this far; at once for a single process."""
    arrived = strategy.run(lambda: tf.constant(1.0))
    strategy.reduce(tf.distribute.ReduceOp.SUM, arrived, axis=None)


LearningRate = Union[float, tf.keras.optimizers.schedules.LearningRateSchedule]


def make_optimizer(
    learning_rate: LearningRate,
    variables: list[tf.Variable],
    beta_1: float = 0.5,
    epsilon: float = 1e-8,
) -> tf.keras.optimizers.Optimizer:
    """Returns Adam (beta2 0.999) with all its state created, wrapped for mixed_float16.

    The "legacy" Adam updates a variable with one fused operation, the newer one with thirty: for a
    system with hundreds of variables that is half of the graph and of the time to compile it.
    """
    adam = tf.keras.optimizers.legacy.Adam(learning_rate, beta_1=beta_1, epsilon=epsilon)
    adam.apply_gradients([])  # creates step counter and hyperparameters: a checkpoint holds them
    for variable in variables:
        adam.add_slot(variable, "m")
        adam.add_slot(variable, "v")
    if tf.keras.mixed_precision.global_policy().name == "mixed_float16":
        return tf.keras.mixed_precision.LossScaleOptimizer(adam)
    return adam


def apply_gradients(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: list[tf.Variable],
    optimizer: tf.keras.optimizers.Optimizer,
) -> tf.Tensor:
    """Updates `variables` by the gradient of the mean of `loss` over replicas; returns its norm.

    Call it in replica context with the per-replica *mean* loss: gradients are summed over replicas,
    so each is divided by their number. Loss scaling (mixed_float16) enters as the output gradient;
    a step that it skips reports the norm 0.

    Raises ValueError if a variable does not receive a gradient.
    """
    replicas = tf.distribute.get_replica_context()
    scaled = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    one = tf.constant(1.0 / replicas.num_replicas_in_sync)
    seed = optimizer.get_scaled_loss(one) if scaled else one
    gradients = tape.gradient(loss, variables, output_gradients=seed)
    missing = [v.name for v, gradient in zip(variables, gradients) if gradient is None]
    if missing:
        raise ValueError(f"no gradient reaches {', '.join(missing)}")
    gradients = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    unscaled = optimizer.get_unscaled_gradients(gradients) if scaled else gradients
    norm = tf.linalg.global_norm(unscaled)
    optimizer.apply_gradients(zip(unscaled, variables), experimental_aggregate_gradients=False)
    return tf.where(tf.math.is_finite(norm), norm, 0.0) if scaled else norm

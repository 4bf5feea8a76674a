"""tf.distribute: choice of strategy, and the one place that applies gradients."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import tensorflow as tf

from utils.errors import UserError
from utils.runs.cluster import read_cluster


def make_strategy(devices: Optional[int] = None) -> tf.distribute.Strategy:
    """Returns the strategy for this process.

    With TF_CONFIG in the environment: MultiWorkerMirroredStrategy. Otherwise all GPUs, or the first
    `devices` of them; without a GPU, `devices` > 1 splits the CPU into logical devices.

    Raises UserError if `read_cluster` refuses TF_CONFIG, if both TF_CONFIG and `devices` are given,
    if more GPUs are asked for than there are, or if TensorFlow is already running with too few
    logical CPU devices.
    """
    cluster = read_cluster()
    if cluster is not None:
        if devices is not None:
            raise UserError(
                f"--devices is {devices} but the environment variable TF_CONFIG chooses the "
                "devices; leave out one of them"
            )
        me = cluster.name(cluster.job, cluster.index)
        print(f"{me} waits for all {cluster.size} processes of the cluster", file=sys.stderr)
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if devices is not None and devices > len(gpus):
            raise UserError(f"--devices is {devices} but this machine has {len(gpus)} GPU(s)")
        names = [f"/gpu:{i}" for i in range(devices or len(gpus))]
    else:
        if (devices or 1) > MOST_LOGICAL:
            raise UserError(
                f"--devices is {devices}, logical devices that share this machine's CPU; give at "
                f"most {MOST_LOGICAL}"
            )
        names = _logical_cpus(devices or 1)
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()


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


def cpu_note() -> Optional[str]:
    """Returns a line for the user if training runs on the CPU, or None if there is a GPU."""
    if tf.config.list_physical_devices("GPU"):
        return None
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    if hidden or not Path("/proc/driver/nvidia/version").exists():
        return "training on the CPU: TensorFlow sees no GPU"
    return (
        "training on the CPU: TensorFlow sees no GPU although this machine has NVIDIA's driver; "
        "install the CUDA libraries that it needs with: pip install -c constraints.txt -e '.[gpu]'"
    )


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
    any_worker(strategy, False)


def any_worker(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Returns on every worker whether `flag` is true on one of them; all have to call it."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return flag
    flags = strategy.run(lambda: tf.constant(float(flag)))
    return bool(strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None) > 0)


MOST_LOGICAL = 64  # a mistyped number of thousands takes minutes and gigabytes before it fails
_SETTINGS = ("learning_rate", "beta_1")  # that a checkpoint holds

LearningRate = Union[float, tf.keras.optimizers.schedules.LearningRateSchedule]


def make_optimizer(
    learning_rate: LearningRate,
    variables: list[tf.Variable],
    beta_1: float = 0.5,
    epsilon: float = 1e-8,
    beta_2: float = 0.999,
    rmsprop: bool = False,
) -> tf.keras.optimizers.Optimizer:
    """Returns Adam, or PyTorch's RMSprop, with all its state created, wrapped for mixed_float16.

    The "legacy" Adam updates a variable with one fused operation, the newer one with thirty: for a
    system with hundreds of variables that is half of the graph and of the time to compile it.
    """
    legacy = tf.keras.optimizers.legacy
    if rmsprop:
        optimizer, slots = legacy.RMSprop(learning_rate, rho=0.99, epsilon=epsilon), ("rms",)
    else:
        optimizer, slots = legacy.Adam(learning_rate, beta_1, beta_2, epsilon), ("m", "v")
    optimizer.apply_gradients([])  # creates step counter and hyperparameters for a checkpoint
    for variable in variables:
        for slot in slots:
            optimizer.add_slot(variable, slot)
    if tf.keras.mixed_precision.global_policy().name == "mixed_float16":
        return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


@contextmanager
def keeping_rates(optimizers: Iterable[tf.keras.optimizers.Optimizer]) -> Iterator[None]:
    """Keeps learning rates and Adam's beta_1 as they are, also when a checkpoint with others loads.

    A run's settings may change while it stands still; a schedule is no part of a checkpoint.
    """
    found = [getattr(optimizer, n, None) for optimizer in optimizers for n in _SETTINGS]
    kept = [(value, value.numpy()) for value in found if hasattr(value, "assign")]
    yield
    for variable, value in kept:
        variable.assign(value)


class Update(NamedTuple):
    """What one optimiser is about to do.

    Attributes:
        gradients: gradients of the mean loss over all replicas, unscaled, one per variable.
        variables: the variables to update.
        optimizer: the optimiser that updates them.
        norm: norm of all gradients together, the same on every replica.
    """

    gradients: list[tf.Tensor]
    variables: list[tf.Variable]
    optimizer: tf.keras.optimizers.Optimizer
    norm: tf.Tensor

    @property
    def scaled(self) -> bool:
        """Whether the optimiser scales the loss, and itself leaves out what overflows."""
        return isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

    def report(self, name: str) -> dict[str, tf.Tensor]:
        """Returns `gradient_norm/<name>`, and with loss scaling `loss_scale/<name>`.

        A step that loss scaling skips has the norm 0.
        """
        if not self.scaled:
            return {f"gradient_norm/{name}": self.norm}
        norm = tf.where(tf.math.is_finite(self.norm), self.norm, 0.0)
        scale = tf.convert_to_tensor(self.optimizer.loss_scale)
        return {f"gradient_norm/{name}": norm, f"loss_scale/{name}": scale}


def prepare_update(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: list[tf.Variable],
    optimizer: tf.keras.optimizers.Optimizer,
) -> Update:
    """Returns the update of `variables` by the gradient of the mean of `loss` over replicas.

    Call it in replica context with the per-replica *mean* loss: gradients are summed over replicas,
    so each is divided by their number. Loss scaling (mixed_float16) enters as the output gradient.

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
    if scaled:
        gradients = optimizer.get_unscaled_gradients(gradients)
    return Update(gradients, variables, optimizer, tf.linalg.global_norm(gradients))


def apply_updates(updates: Sequence[Update], due: Optional[tf.Tensor] = None) -> None:
    """Makes all updates, or none if one of their norms is not finite; call it in replica context.

    What is left out changes neither variables nor optimisers. Optimisers that scale the loss decide
    each for itself.

    Args:
        updates: those to make.
        due: whether it is their turn, the same on every replica; None = always. Not with optimisers
            that scale the loss.
    """
    scaled = [update for update in updates if update.scaled]
    if scaled and due is not None:
        raise UserError("--precision is mixed_float16, which has no updates in turns; give float32")
    for update in scaled:
        _apply(update, update.gradients)
    guarded = [update for update in updates if not update.scaled]
    if not guarded:
        return
    finite = tf.reduce_all(tf.math.is_finite([update.norm for update in guarded]))
    if due is not None:
        finite &= due
    gradients = [update.gradients for update in guarded]

    # Optimisers synchronise replicas, which a condition within one replica must not do.
    def across_replicas(strategy: tf.distribute.Strategy, finite: Any, gradients: Any) -> None:
        def apply_all(gradients: Any) -> None:
            for update, own in zip(guarded, gradients):
                _apply(update, own)

        def apply_on_replicas() -> tf.Operation:
            strategy.extended.call_for_each_replica(apply_all, args=(gradients,))
            return tf.no_op()

        everywhere = strategy.experimental_local_results(finite)[0]
        tf.cond(everywhere, apply_on_replicas, tf.no_op)

    replicas = tf.distribute.get_replica_context()
    replicas.merge_call(across_replicas, args=(finite, gradients))


def assign_all(
    variables: Sequence[tf.Variable], values: Sequence[tf.Tensor], due: Optional[tf.Tensor] = None
) -> None:
    """Assigns to each variable a value that is the same on every replica; in replica context.

    `due` tells whether it is done at all, the same on every replica; None = it is.
    """

    def across_replicas(strategy: tf.distribute.Strategy, values: Any, due: Any) -> None:
        def assign() -> tf.Operation:
            for variable, value in zip(variables, values):
                strategy.extended.update(variable, lambda v, given: v.assign(given), args=(value,))
            return tf.no_op()

        if due is None:
            assign()
        else:
            tf.cond(strategy.experimental_local_results(due)[0], assign, tf.no_op)

    tf.distribute.get_replica_context().merge_call(across_replicas, args=(values, due))


def _apply(update: Update, gradients: Sequence[tf.Tensor]) -> None:
    pairs = zip(gradients, update.variables)
    update.optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)

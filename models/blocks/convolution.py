"""The convolution unit that all networks are made of, and the table row that describes one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Optional, Union

import tensorflow as tf

from models.blocks.normalization import InstanceNormalization

RELU_CAP = 100.0
LEAK = 0.2


@dataclass(frozen=True)
class Row:
    """One row of a layer table: [resample] -> convolution -> instance norm -> activation.

    Attributes:
        name: the layer's name in the original code.
        filters: output channels in units of the base width.
        kernel: side of the square kernel, pixels.
        stride: 2 halves height and width (SAME padding).
        resample: "up" doubles the size (nearest) before, "pool" halves it (maximum) after.
        activation: a key of `ACTIVATIONS`; "" is a bare convolution without norm.
        fan_in: channels the mean-filter initialiser assumes, in units of the base width; 0 = one.
        join: name of the skip that is concatenated in front of the input.
        keep: name under which the output is kept as a skip.
    """

    name: str
    filters: int
    kernel: int = 3
    stride: int = 1
    resample: str = ""
    activation: str = "capped_relu"
    fan_in: int = 1
    join: str = ""
    keep: str = ""


@tf.custom_gradient
def capped_relu(x: tf.Tensor) -> tuple:
    """Returns min(max(x, 0), 100): what the original "leaky" ReLU amounts to after its clipping.

    The gradient is that of ReLU6, scaled: one kernel in place of those of the two operations.
    """
    y = tf.clip_by_value(x, 0.0, RELU_CAP)
    return y, lambda upstream: tf.raw_ops.Relu6Grad(
        gradients=upstream, features=y * tf.cast(6.0 / RELU_CAP, y.dtype)
    )


ACTIVATIONS = {
    "capped_relu": capped_relu,
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, LEAK),
    "relu": tf.nn.relu,
    "sigmoid": lambda x: tf.sigmoid(tf.cast(x, tf.float32)),
    "logits": lambda x: tf.cast(x, tf.float32),
    "": tf.identity,
}


def with_activation(rows: Iterable[Row], activation: str) -> list[Row]:
    """Returns the rows of a table with `activation` in place of every capped ReLU."""
    return [
        replace(row, activation=activation) if row.activation == "capped_relu" else row
        for row in rows
    ]


def upsample(x: tf.Tensor) -> tf.Tensor:
    """Returns x [B,H,W,C] with every pixel doubled in both directions: [B,2H,2W,C]."""
    _, height, width, channels = x.shape
    rows = tf.shape(x)[0]
    doubled = tf.broadcast_to(x[:, :, None, :, None, :], [rows, height, 2, width, 2, channels])
    return tf.reshape(doubled, [rows, 2 * height, 2 * width, channels])


class ConvUnit(tf.keras.layers.Layer):
    """[up-sampling] -> convolution (bias) -> instance norm -> activation [-> max-pooling].

    Args:
        row: the layer; `row.filters` is multiplied by `width`.
        width: the network's base width, channels.
        initializer: kernel initialiser.
        norm: the normalisation layer, or None for a bare convolution.
        bias: initial bias, one number or one per filter.
    """

    def __init__(
        self,
        row: Row,
        width: int,
        initializer: tf.keras.initializers.Initializer,
        norm: Optional[InstanceNormalization] = None,
        bias: Union[float, tuple[float, ...]] = 0.0,
    ):
        super().__init__(name=row.name)
        self.row = row
        self.convolution = tf.keras.layers.Conv2D(
            row.filters * width,
            row.kernel,
            row.stride,
            padding="same",
            kernel_initializer=initializer,
            bias_initializer=tf.keras.initializers.Constant(bias),
            name="conv",
        )
        self.norm = norm
        self.activation = ACTIVATIONS[row.activation]

    def call(self, x: tf.Tensor, condition: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Maps x [B,H,W,C] to [B,H',W',filters]; condition [B,K] feeds a conditional norm."""
        if self.row.resample == "up":
            x = upsample(x)
        x = self.convolution(x)
        if self.norm is not None:
            x = self.norm(x, condition) if self.norm.num_conditions else self.norm(x)
        x = self.activation(x)
        return tf.nn.max_pool2d(x, 2, 2, "SAME") if self.row.resample == "pool" else x


def plain_unit(row: Row, width: int, initializer: tf.keras.initializers.Initializer) -> ConvUnit:
    """Returns a unit with plain instance norm, or a bare convolution if the row is linear."""
    norm = InstanceNormalization(name="norm") if row.activation else None
    return ConvUnit(row, width, initializer, norm)

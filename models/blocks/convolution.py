"""The convolution unit that all networks are made of, and the table row that describes one.

A table of rows is run from top to bottom by `run_units`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

import numpy as np
import tensorflow as tf

from models.blocks.normalization import NORMS, InstanceNormalization
from models.blocks.spectral import SpectralConv2D, SpectralConv3D
from utils.seeding import dropout

RELU_CAP = 100.0
LEAK = 0.2
SLIGHT_LEAK = 0.01


@dataclass(frozen=True)
class Row:
    """One row of a layer table: [activation, resample] -> convolution -> norm -> activation.

    Attributes:
        name: the layer's name in the original code.
        filters: output channels in units of the base width.
        kernel: side of the square or cubic kernel, or its sides, pixels.
        stride: 2 halves all sides; or one number for each side.
        resample: "up" doubles the size (nearest) before, "linear" by linear interpolation, "halve"
            halves it (maximum) before, "pool" after; "dilate" takes the maximum of 3 pixels along
            each side after; "transposed" is a transposed convolution, which the stride enlarges.
        activation: a key of `ACTIVATIONS`; "" is linear, and without norm by `plain_unit`.
        fan_in: channels the mean-filter initialiser assumes, in units of the base width; 0 = one.
        join: name of the skip that is concatenated in front of the input.
        keep: name under which the output is kept as a skip.
        before: activation in front of the convolution.
        padding: "same" (of an odd sum, the larger half at the end), "valid" (none), "reflect"
            (mirrored without the edge, half a kernel on all sides), or so many pixels of zeros on
            all sides. Transposed, 1 is for 3x3 kernels with stride 2 and drops the first row and
            column, as PyTorch's padding 1 with output padding 1.
        norm: a key of `NORMS`, read by `table_unit`.
        bias: whether the convolution has a bias.
        drop: share of the outputs that training zeroes (dropout), 0 <= drop < 1.
    """

    name: str
    filters: int
    kernel: Union[int, tuple[int, ...]] = 3
    stride: Union[int, tuple[int, ...]] = 1
    resample: str = ""
    activation: str = "capped_relu"
    fan_in: int = 1
    join: str = ""
    keep: str = ""
    before: str = ""
    padding: Union[str, int] = "same"
    norm: str = ""
    bias: bool = True
    drop: float = 0.0


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
    "capped_relu": lambda x: capped_relu(x),  # found at each call: may be replaced
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, LEAK),
    "leaky_relu_0.01": lambda x: tf.nn.leaky_relu(x, SLIGHT_LEAK),
    "relu": tf.nn.relu,
    "sigmoid": lambda x: tf.sigmoid(tf.cast(x, tf.float32)),
    "softmax": lambda x: tf.nn.softmax(tf.cast(x, tf.float32)),
    "tanh": lambda x: tf.tanh(tf.cast(x, tf.float32)),
    "logits": lambda x: tf.cast(x, tf.float32),
    "": tf.identity,
}


def with_activation(rows: Iterable[Row], activation: str) -> list[Row]:
    """Returns the rows of a table with `activation` in place of every capped ReLU."""
    return [
        replace(row, activation=activation) if row.activation == "capped_relu" else row
        for row in rows
    ]


def double_and_convolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Doubles every pixel in both directions and convolves: [B,H,W,C] -> [B,2H,2W,filters].

    Neighbouring weights of the odd kernel [h,w,C,filters] meet copies of one pixel. Added up
    before, they leave a transposed convolution: for 3x3, 16 in place of 36 products per pixel of x.
    """
    shifts = [[[i, 1 - i], [j, 1 - j], [0, 0], [0, 0]] for i in (0, 1) for j in (0, 1)]
    added = tf.add_n([tf.pad(kernel, shift) for shift in shifts])
    turned = tf.transpose(tf.reverse(added, axis=[0, 1]), [0, 1, 3, 2])
    shape = [tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[-1]]
    return tf.nn.conv2d_transpose(x, turned, shape, 2, "SAME")


def join_and_convolve(skip: tf.Tensor, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Concatenates channels of [B,H,W,C'] and [B*k,H,W,C], and convolves: [B*k,H,W,filters].

    Each sample of `skip` is joined to k samples of `x` in a row; its part of the sum, of the first
    C' channels of the kernel [h,w,C'+C,filters], is computed once for them.
    """
    kernels = tf.split(kernel, [skip.shape[-1], x.shape[-1]], axis=2)
    once, each = (tf.nn.conv2d(y, part, 1, "SAME") for y, part in zip((skip, x), kernels))
    grouped = tf.reshape(each, [tf.shape(skip)[0], -1, *each.shape[1:]])
    return tf.reshape(grouped + once[:, None], tf.shape(each))


class DoublingConv2D(tf.keras.layers.Conv2D):
    """`double_and_convolve` with a bias."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps x [B,H,W,C] to [B,2H,2W,filters]."""
        return tf.nn.bias_add(double_and_convolve(inputs, self.kernel), self.bias)


class JoiningConv2D(tf.keras.layers.Conv2D):
    """`join_and_convolve` with a bias."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.input_spec = None  # it describes one input

    def build(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> None:
        """Creates the kernel for the channels of both inputs."""
        skip, x = input_shape
        super().build([*x[:-1], skip[-1] + x[-1]])
        self.input_spec = None

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Maps a skip [B,H,W,C'] and x [B*k,H,W,C] to [B*k,H,W,filters]."""
        return tf.nn.bias_add(join_and_convolve(*inputs, self.kernel), self.bias)


Norm = Union[InstanceNormalization, tf.keras.layers.BatchNormalization]


class ConvUnit(tf.keras.layers.Layer):
    """[activation, up-sampling] -> convolution -> norm -> activation [-> max-pooling].

    Args:
        row: the layer; `row.filters` is multiplied by `width`.
        width: the network's base width, channels.
        initializer: kernel initialiser.
        norm: the normalisation layer, or None for a bare convolution.
        bias: initial bias, one number or one per filter.
        rank: 2 for images, 3 for volumes, of which [B,D,H,W,C] takes the place of [B,H,W,C].
        spectral: spectral normalisation of the kernel, see `models.blocks.spectral`.
    """

    def __init__(
        self,
        row: Row,
        width: int,
        initializer: tf.keras.initializers.Initializer,
        norm: Optional[Norm] = None,
        bias: Union[float, tuple[float, ...]] = 0.0,
        rank: int = 2,
        spectral: bool = False,
    ):
        super().__init__(name=row.name)
        self.row = row
        self.convolution = _kind(row, rank, spectral)(
            row.filters * width,
            row.kernel,
            row.stride,
            padding="same" if row.padding == "same" else "valid",
            use_bias=row.bias,
            kernel_initializer=initializer,
            bias_initializer=tf.keras.initializers.Constant(bias),
            name="conv",
        )
        self.norm = norm
        self.before = ACTIVATIONS[row.before]
        self.activation = ACTIVATIONS[row.activation]

    def call(
        self,
        x: tf.Tensor,
        skip: Optional[tf.Tensor] = None,
        condition: Optional[tf.Tensor] = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Maps x [B,H,W,C] to [B,H',W',filters], of rank 3 [B,D,H,W,C] to [B,D',H',W',filters].

        A joining row needs a skip [B/k,H,W,C'], each sample of which serves k of x; k is 1 where
        the row resamples.
        Condition [B,K] feeds a conditional norm; in training a batch norm uses the batch.
        """
        x = self.convolve(self.before(x), None if skip is None else self.before(skip))
        x = self.activation(self._normalise(x, condition, training))
        if self.row.resample == "dilate":
            return _maximum(x, 3, 1)
        return _maximum(x, 2, 2) if self.row.resample == "pool" else x

    def convolve(self, x: tf.Tensor, skip: Optional[tf.Tensor]) -> tf.Tensor:
        """Returns the resampled x, with the skip in front, after the convolution alone."""
        if self.row.resample == "halve":
            x = _maximum(x, 2, 2)
        elif self.row.resample == "linear":
            x = double_linearly(x)
        if isinstance(self.convolution, JoiningConv2D):
            return self.convolution((skip, x))
        if skip is not None:
            x = tf.concat([skip, x], axis=-1)
        padding = self.row.padding
        if padding in ("same", "valid"):
            return self.convolution(x)
        if self.row.resample == "transposed":
            return self.convolution(x)[:, padding:, padding:]
        if padding == "reflect":
            margin = [self.row.kernel // 2] * 2
            return self.convolution(tf.pad(x, [[0, 0], margin, margin, [0, 0]], "REFLECT"))
        return self.convolution(tf.pad(x, [[0, 0], [padding] * 2, [padding] * 2, [0, 0]]))

    def _normalise(self, x: tf.Tensor, condition: Optional[tf.Tensor], training: bool) -> tf.Tensor:
        if self.norm is None:
            return x
        if isinstance(self.norm, tf.keras.layers.BatchNormalization):
            return self.norm(x, training=training)
        return self.norm(x, condition) if self.norm.num_conditions else self.norm(x)


def _kind(row: Row, rank: int, spectral: bool) -> type[tf.keras.layers.Layer]:
    """Returns the row's layer; ValueError where a faster one would not do what the row says."""
    if rank == 3 or spectral:
        if row.resample in ("transposed", "up") or row.padding not in ("same", "valid"):
            raise ValueError(f"{row}: of images without spectral normalisation only")
        kinds = {
            (2, True): SpectralConv2D,
            (3, True): SpectralConv3D,
            (3, False): tf.keras.layers.Conv3D,
        }
        return kinds[rank, spectral]
    if row.resample == "transposed":
        return tf.keras.layers.Conv2DTranspose
    if row.resample != "up" and not row.join:
        return tf.keras.layers.Conv2D
    odd = np.all(np.mod(row.kernel, 2) == 1)
    if not odd or (row.stride, row.padding, row.bias) != (1, "same", True):
        raise ValueError(f"{row}: up-sampling and joining need an odd kernel, stride 1 and a bias")
    return DoublingConv2D if row.resample == "up" else JoiningConv2D


def _maximum(x: tf.Tensor, size: int, stride: int) -> tf.Tensor:
    pool = tf.nn.max_pool2d if x.shape.rank == 4 else tf.nn.max_pool3d
    return pool(x, size, stride, "SAME")


def double_linearly(x: tf.Tensor) -> tf.Tensor:
    """Doubles every side by linear interpolation: [B,...,C], pixels as areas, edges repeated.

    In two dimensions it is `tf.image.resize` with "bilinear", which volumes do not have.
    """
    for axis in range(1, x.shape.rank - 1):
        size = x.shape[axis]
        first, last = (tf.gather(x, [i], axis=axis) for i in (0, size - 1))
        inner = tf.split(x, [1, size - 1], axis=axis)[1], tf.split(x, [size - 1, 1], axis=axis)[0]
        before = tf.concat([first, inner[1]], axis=axis)
        after = tf.concat([inner[0], last], axis=axis)
        pairs = tf.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
        shape = [tf.shape(x)[0], *x.shape[1:]]
        shape[axis] = 2 * size
        x = tf.reshape(pairs, shape)
    return x


def plain_unit(row: Row, width: int, initializer: tf.keras.initializers.Initializer) -> ConvUnit:
    """Returns a unit with plain instance norm, or a bare convolution if the row is linear."""
    norm = InstanceNormalization(name="norm") if row.activation else None
    return ConvUnit(row, width, initializer, norm)


def table_unit(
    row: Row, width: int, initializer: tf.keras.initializers.Initializer, **options: Any
) -> ConvUnit:
    """Returns a unit with the norm that its row names, and further `options` of `ConvUnit`."""
    return ConvUnit(row, width, initializer, NORMS[row.norm](), **options)


def run_units(
    units: Iterable[ConvUnit],
    x: tf.Tensor,
    skips: Optional[Mapping[str, tf.Tensor]] = None,
    condition: Optional[tf.Tensor] = None,
    training: bool = False,
    gradient_checkpointing: bool = False,
    seeds: Optional[tf.Tensor] = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the last output and all skips: those given and those that the rows keep.

    What rows drop in training is a function of the samples' `seeds` [B,2] and the row's name.
    With `gradient_checkpointing` only what the units give is kept for the gradient; what is inside
    of them is computed again (Chen et al., "Training deep nets with sublinear memory cost", 2016).
    """
    skips = dict(skips or {})
    for unit in units:
        inputs = (x, skips[unit.row.join]) if unit.row.join else (x,)
        run = functools.partial(unit, condition=condition, training=training)
        # The first call makes the variables, which a recomputed function must not.
        x = (tf.recompute_grad(run) if gradient_checkpointing and unit.built else run)(*inputs)
        if unit.row.drop and training:
            x = dropout(x, 1 - unit.row.drop, seeds, unit.row.name)
        if unit.row.keep:
            skips[unit.row.keep] = x
    return x, skips

"""The three-level U-Net of the structure-map system: G, G_t, G_l and G_m (original code, 1.3).

Layer table at base width n ("up": nearest x2; convolutions 3x3 with bias; IN: instance norm):

    conv1 n | conv2 n (skip C) | conv3 n /2 | conv4 2n | conv5 2n (skip B) | conv6 2n /2 |
    conv7 4n | conv8 4n (skip A) | conv9 4n /2, bare | [condition] | conv10 4n |
    up deconv1 4n | [A] add1 2n, 2n | up deconv2 2n | [B] add2 n, n | up deconv3 n |
    [C] add3 n, n | lastconv out, IN + sigmoid

A capped ReLU follows every norm but conv5's (plain ReLU) and the last. The thesis' text has leaky
ReLUs and no norm at the output: `activation` and `output_norm`.

Without skips (`skips`) it is encoder and decoder of the early paper, with codes of 8n channels at a
quarter of the size (original code, 7.1):

    conv1 n | conv2 n | conv3 2n /2 | conv4 4n | conv5 4n | conv6 8n /2 | conv7 8n |
    [condition] | conv8 8n | up deconv1 4n | conv9 4n, 4n | up deconv2 2n | conv10 2n, 2n, n |
    lastconv out, IN + sigmoid

The condition enters at the bottleneck, so one encoder pass serves every target: `encode` once,
`decode` with the bottleneck repeated along the batch; what the decoder's convolutions make of the
skips is computed once too. Instance norm is per sample: equal numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, plain_unit, run_units, with_activation
from models.blocks.initializers import kernel_initializer
from models.blocks.normalization import InstanceNormalization
from utils.errors import UserError

CONDITIONS = ("concat", "conditional_instance_norm")

ENCODER = (
    Row("conv1", 1, fan_in=0),
    Row("conv2", 1, fan_in=1, keep="C"),
    Row("conv3", 1, stride=2, fan_in=1),
    Row("conv4", 2, fan_in=1),
    Row("conv5", 2, fan_in=2, activation="relu", keep="B"),
    Row("conv6", 2, stride=2, fan_in=2),
    Row("conv7", 4, fan_in=2),
    Row("conv8", 4, fan_in=4, keep="A"),
    Row("conv9", 4, stride=2, fan_in=4, activation=""),
)
DECODER = (
    Row("conv10", 4, fan_in=4),
    Row("deconv1", 4, resample="up", fan_in=4),
    Row("add1_conv1", 2, fan_in=8, join="A"),
    Row("add1_conv2", 2, fan_in=2),
    Row("deconv2", 2, resample="up", fan_in=2),
    Row("add2_conv1", 1, fan_in=4, join="B"),
    Row("add2_conv2", 1, fan_in=1),
    Row("deconv3", 1, resample="up", fan_in=1),
    Row("add3_conv1", 1, fan_in=2, join="C"),
    Row("add3_conv2", 1, fan_in=1),
)
CODE_ENCODER = (
    Row("conv1", 1, fan_in=0),
    Row("conv2", 1, fan_in=1),
    Row("conv3", 2, stride=2, fan_in=1),
    Row("conv4", 4, fan_in=2),
    Row("conv5", 4, fan_in=4, activation="relu"),
    Row("conv6", 8, stride=2, fan_in=4),
    Row("conv7", 8, fan_in=8),
)
CODE_DECODER = (
    Row("conv8", 8, fan_in=8),
    Row("deconv1", 4, resample="up", fan_in=8),
    Row("conv9_1", 4, fan_in=4),
    Row("conv9_2", 4, fan_in=4),
    Row("deconv2", 2, resample="up", fan_in=4),
    Row("conv10_1", 2, fan_in=2),
    Row("conv10_2", 2, fan_in=2),
    Row("conv10_3", 1, fan_in=2),
)
CODE_HALVINGS = 2
HALVINGS = 3
SIZE_MULTIPLE = 2**HALVINGS

Codes = tuple[tf.Tensor, dict[str, tf.Tensor]]  # bottleneck [B,H/8,W/8,4n], skips by name


@dataclass(frozen=True)
class UNetSpec:
    """What distinguishes one U-Net from another.

    Attributes:
        width: base width n, channels.
        outputs: output channels.
        conditions: number of one-hot conditions (modalities); 0 = unconditional.
        condition: how the code enters, one of `CONDITIONS`.
        initializer: kernel initialiser, see `models.blocks.initializers`.
        output_scale: mean initial scale of the instance norm in front of the sigmoid.
        output_offset: initial offset of that norm (logit), one number or one per output.
        activation: activation of the hidden units: capped_relu or leaky_relu (slope 0.2).
        output_norm: instance norm in front of the sigmoid; without it `output_scale` is unused and
            `output_offset` is the initial bias.
        skips: False has the tables of the early paper, without skips.
        output_activation: sigmoid (outputs independent of each other), or logits (no function).
        gradient_checkpointing: recompute the units' activations in the backward pass, see
            `run_units`.
    """

    width: int
    outputs: int = 1
    conditions: int = 0
    condition: str = "concat"
    initializer: str = "mean_filter"
    output_scale: float = 1.0
    output_offset: Union[float, tuple[float, ...]] = 0.0
    activation: str = "capped_relu"
    output_norm: bool = True
    skips: bool = True
    output_activation: str = "sigmoid"
    gradient_checkpointing: bool = False


def check_sides(
    what: str, size: Sequence[Optional[int]], halvings: int = HALVINGS, network: str = "the U-Net"
) -> None:
    """Raises UserError unless all sides can be halved `halvings` times; None is any size."""
    if any(side is not None and side % 2**halvings for side in size):
        sides = "height and width" if len(size) == 2 else "all sides"
        raise UserError(
            f"{what} has {'x'.join(map(str, size))} pixels; {sides} must be divisible by "
            f"{2**halvings}, because {network} halves them {halvings} times"
        )


class UNet(tf.keras.Model):
    """U-Net [B,H,W,C] (+ one-hot [B,conditions]) -> [B,H,W,outputs], float32.

    The outputs are in (0,1), or logits of any size with `output_activation` "logits". Height and
    width must be divisible by 8.
    """

    def __init__(self, spec: UNetSpec, name: str):
        super().__init__(name=name)
        if spec.condition not in CONDITIONS:
            raise UserError(f"condition is {spec.condition!r}; expected {' or '.join(CONDITIONS)}")
        self.spec = spec
        per_condition = spec.conditions and spec.condition == "conditional_instance_norm"
        self.norm_conditions = spec.conditions if per_condition else None
        tables = (ENCODER, DECODER) if spec.skips else (CODE_ENCODER, CODE_DECODER)
        encoder, decoder = (with_activation(rows, spec.activation) for rows in tables)
        self.encoder = [plain_unit(row, spec.width, self._initializer(row)) for row in encoder]
        self.decoder = [self._decoder_unit(row) for row in decoder]
        self.output_unit = self._output_unit()

    def _initializer(self, row: Row) -> tf.keras.initializers.Initializer:
        return kernel_initializer(self.spec.initializer, max(1, row.fan_in * self.spec.width))

    def _decoder_unit(self, row: Row) -> ConvUnit:
        norm = InstanceNormalization(self.norm_conditions, name="norm")
        return ConvUnit(row, self.spec.width, self._initializer(row), norm)

    def _output_unit(self) -> ConvUnit:
        spec = self.spec
        row = Row("lastconv", spec.outputs, activation=spec.output_activation)
        initializer = kernel_initializer(spec.initializer, spec.width)
        if not spec.output_norm:
            return ConvUnit(row, 1, initializer, bias=spec.output_offset)
        norm = InstanceNormalization(
            self.norm_conditions, spec.output_scale, spec.output_offset, name="norm"
        )
        return ConvUnit(row, 1, initializer, norm)

    def encode(self, image: tf.Tensor) -> Codes:
        """Maps image [B,H,W,C] to the bottleneck [B,H/8,W/8,4n] and the skips A, B, C."""
        halvings = HALVINGS if self.spec.skips else CODE_HALVINGS
        check_sides(f"The input of {self.name}", image.shape[1:3], halvings)
        return run_units(
            self.encoder, image, gradient_checkpointing=self.spec.gradient_checkpointing
        )

    def decode(self, codes: Codes, condition: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Decodes the codes of B samples (from `encode`) to images [B*k,H,W,outputs].

        Args:
            codes: bottleneck and skips.
            condition: one-hot [B*k,conditions], k conditions per sample; the k rows of one sample
                are consecutive. None for an unconditional network (k = 1).
        """
        x, skips = codes
        if condition is not None:
            x = tf.repeat(x, tf.shape(condition)[0] // tf.shape(x)[0], axis=0)
            if self.norm_conditions is None:
                x = tf.concat([x, tile_condition(condition, x)], axis=-1)
        x, _ = run_units(
            self.decoder,
            x,
            skips,
            condition,
            gradient_checkpointing=self.spec.gradient_checkpointing,
        )
        return self.output_unit(x, condition=condition)

    def call(self, image: tf.Tensor, condition: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Returns `decode(encode(image), condition)`."""
        return self.decode(self.encode(image), condition)


def tile_condition(condition: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Returns the one-hot condition [B,K] as constant maps [B,h,w,K] of `like`'s size and type."""
    shape = tf.shape(like)
    maps = tf.cast(condition, like.dtype)[:, None, None, :]
    return tf.broadcast_to(maps, [shape[0], shape[1], shape[2], condition.shape[-1]])


def build_unet(spec: UNetSpec, channels: int, name: str) -> UNet:
    """Returns a U-Net with its variables created for `channels` input channels."""
    network = UNet(spec, name)
    image = tf.zeros([1, SIZE_MULTIPLE * 2, SIZE_MULTIPLE * 2, channels])
    network(image, tf.one_hot([0], spec.conditions) if spec.conditions else None)
    return network

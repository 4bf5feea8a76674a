"""The convolutions of a compiled step: their floating-point operations, and bare ones to time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

import tensorflow as tf

from utils.graphs import reached_operations

FORWARD = "Conv2D"
# By type of node: its tensors of the shapes that kernel and output have in the forward convolution.
# Either gradient has as many products as that.
_PARTS: dict[str, Callable[[tf.Operation], tuple[tf.Tensor, tf.Tensor]]] = {
    FORWARD: lambda op: (op.inputs[1], op.outputs[0]),
    "Conv2DBackpropInput": lambda op: (op.inputs[1], op.inputs[2]),
    "Conv2DBackpropFilter": lambda op: (op.outputs[0], op.inputs[2]),
}


@dataclass(frozen=True)
class Convolution:
    """A forward convolution without bias.

    Attributes:
        image: [B,H,W,C].
        kernel: [h,w,C,filters].
        strides: one per dimension of the image.
        padding: SAME or VALID.
        dtype: name of the type of all three tensors.
        output: [B,H',W',filters].
    """

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    dtype: str
    output: tuple[int, ...]

    @property
    def flops(self) -> int:
        """Floating-point operations, see `flops`."""
        return flops(self.kernel, self.output)

    def bare(self) -> Callable[[], tf.Tensor]:
        """Returns a function that runs it once, on tensors of ones."""
        image, kernel = tf.ones(self.image, self.dtype), tf.ones(self.kernel, self.dtype)
        return lambda: tf.nn.conv2d(image, kernel, self.strides, self.padding)


def flops(kernel: tuple[int, ...], maps: tuple[int, ...]) -> int:
    """Returns 2 * B * H' * W' * h * w * C * filters.

    A product and its addition are two operations; products with padding count like others.

    Args:
        kernel: [h,w,C,filters].
        maps: [B,H',W',filters], the output of the forward convolution.
    """
    height, width, channels, filters = kernel
    return 2 * maps[0] * maps[1] * maps[2] * height * width * channels * filters


def step_flops(graph: tf.Graph) -> int:
    """Returns the floating-point operations of all convolutions that a step runs.

    They are counted node by node: forward, gradient of the input, gradient of the kernel, each with
    the operations of its forward convolution. All other arithmetic is left out.

    Args:
        graph: of the step's concrete function, with a fixed batch size.
    """
    total = 0
    for op in reached_operations(graph):
        if op.type in _PARTS:
            kernel, maps = _PARTS[op.type](op)
            total += flops(tuple(kernel.shape), tuple(maps.shape))
    return total


def forward_convolutions(graph: tf.Graph) -> Mapping[Convolution, int]:
    """Returns the different Conv2D that a step runs, with their number.

    The gradient of a transposed convolution, as up-sampling rows have, is one of them.
    """
    found: Counter = Counter()
    for op in reached_operations(graph):
        if op.type == FORWARD:
            image, kernel = (tuple(tensor.shape) for tensor in op.inputs)
            strides, padding = tuple(op.get_attr("strides")), op.get_attr("padding").decode()
            dtype, output = op.get_attr("T").name, tuple(op.outputs[0].shape)
            found[Convolution(image, kernel, strides, padding, dtype, output)] += 1
    return found

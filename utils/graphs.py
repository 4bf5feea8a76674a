"""Compiled steps as graphs: which nodes run, and how many bytes their tensors hold at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import tensorflow as tf

# Kernels that give their input's buffer on as their output, whatever it is.
_VIEWS = {
    *("EnsureShape", "ExpandDims", "Identity", "IdentityN", "PreventGradient", "Reshape"),
    *("Squeeze", "StopGradient"),
}
# Kernels that write over an input which nobody else reads.
_IN_PLACE = {
    *("Add", "AddN", "AddV2", "BiasAdd", "Cast", "Exp", "Log", "Maximum", "Minimum", "Mul", "Neg"),
    *("RealDiv", "Relu", "ReluGrad", "Rsqrt", "SelectV2", "Sigmoid", "SigmoidGrad", "Sqrt"),
    *("Square", "SquaredDifference", "Sub", "Tanh", "TanhGrad"),
}


def reached_operations(graph: tf.Graph) -> set[tf.Operation]:
    """Returns the nodes that run: gradients which nobody asks for are in the graph as well."""
    todo = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    reached: set[tf.Operation] = set()
    while todo:
        op = todo.pop()
        if op not in reached:
            reached.add(op)
            todo += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return reached


def peak_bytes(graph: tf.Graph) -> int:
    """Returns the most bytes that a step's tensors hold at once, one node running after the other.

    Nodes run in the order in which they were made, the last reader of a tensor frees it, and
    buffers are given on as kernels do it. Left out are weights, what kernels need inside, and what
    goes on in functions that a node calls.

    Args:
        graph: of a concrete function with fixed shapes.
    """
    reached = reached_operations(graph)
    operations = [op for op in graph.get_operations() if op in reached]
    buffer, last_use = _buffers(operations)
    last_use.update((buffer[tensor.name], len(operations)) for tensor in graph.outputs)
    ending = defaultdict(list)
    for name, number in last_use.items():
        ending[number].append(name)
    sizes: dict[str, int] = {}  # of the buffers in use
    held = peak = 0
    for number, op in enumerate(operations):
        for tensor in op.outputs:
            if buffer[tensor.name] == tensor.name:  # no view of another
                free = [buffer[t.name] for t in op.inputs if last_use[buffer[t.name]] == number]
                size = _bytes(tensor)
                given_on = [name for name in free if sizes.get(name) == size]
                if op.type in _IN_PLACE and given_on:
                    held -= sizes.pop(given_on[0])
                sizes[tensor.name] = size
                held += size
        peak = max(peak, held)
        held -= sum(sizes.pop(name, 0) for name in ending[number])
    return peak


def _buffers(operations: Sequence[tf.Operation]) -> tuple[dict[str, str], dict[str, int]]:
    """Returns by tensor the one in whose buffer it lives, and by buffer the last node to use it."""
    buffer: dict[str, str] = {}
    last_use: dict[str, int] = {}
    for number, op in enumerate(operations):
        last_use.update((buffer[tensor.name], number) for tensor in op.inputs)
        for tensor in op.outputs:
            buffer[tensor.name] = tensor.name
        if op.type in _VIEWS:
            buffer.update((o.name, buffer[i.name]) for o, i in zip(op.outputs, op.inputs))
        last_use.update((buffer[tensor.name], number) for tensor in op.outputs)
    return buffer, last_use


def _bytes(tensor: tf.Tensor) -> int:
    """Returns what a tensor holds; a weight that is read stays where it is."""
    if tensor.op.type == "ReadVariableOp" or tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    return (tensor.shape.num_elements() or 0) * tensor.dtype.size

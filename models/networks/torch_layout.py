"""Weights in PyTorch's layout, so that a published network can be used here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from models.blocks.convolution import ConvUnit
from utils.errors import UserError


def load_torch_layout(network: tf.keras.Model, arrays: Iterable[np.ndarray]) -> None:
    """Gives a network made of `ConvUnit` the weights of the same network in PyTorch.

    Args:
        network: such as `models.samr.networks.Generator`, with its variables.
        arrays: the state dictionary's values in its order, which is that of the network's tables:
            for each row the kernel [out,in,h,w] (transposed: [in,out,h,w]), then its bias, then,
            with batch norm, scale, offset, running mean and variance. Single numbers, such as the
            count of batches, are passed over.

    Raises:
        UserError: too few or too many arrays, or one of another shape; then nothing is changed.
    """
    given = [np.asarray(array) for array in arrays]
    given = [array for array in given if array.ndim]
    wanted = [(unit, variable) for unit in conv_units(network) for variable in _in_order(unit)]
    if len(given) != len(wanted):
        raise UserError(
            f"{network.name} takes {len(wanted)} arrays, found {len(given)}; give the weights of a "
            "network with the same layers"
        )
    values = []
    for (unit, variable), array in zip(wanted, given):
        value = np.transpose(array, (2, 3, 1, 0)) if array.ndim == 4 else array
        if value.shape != tuple(variable.shape):
            raise UserError(
                f"Layer {unit.name} of {network.name} has {tuple(variable.shape)} weights, found "
                f"{value.shape}; give the weights of a network of the same widths"
            )
        values.append(value)
    for (_, variable), value in zip(wanted, values):
        variable.assign(value)


def conv_units(network: tf.keras.Model) -> Iterator[ConvUnit]:
    """Yields the units of a network, those of residual blocks too, in the order of its tables."""
    for layer in network.layers:
        yield from [layer] if isinstance(layer, ConvUnit) else layer.units


def _in_order(unit: ConvUnit) -> list[tf.Variable]:
    """Returns a unit's variables in PyTorch's order, that of their making."""
    convolution = [unit.convolution.kernel] + ([unit.convolution.bias] * unit.row.bias)
    return convolution + (unit.norm.variables if unit.norm else [])

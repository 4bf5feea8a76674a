"""The choice between a faster operation and the single ones that do the same.

Networks train with the former: fused kernels, gradients written out, or fewer products with the
same sum. The plain form of a step (`models.structure_gan.plain`) is traced with the latter, which
the original graph has, so that numbers and times can be compared.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

import tensorflow as tf

_single = False


@contextmanager
def single_operations() -> Iterator[None]:
    """Context in which what `or_single` made calls the single operations, in all threads."""
    global _single
    former, _single = _single, True
    try:
        yield
    finally:
        _single = former


def or_single(single: Callable[..., tf.Tensor]) -> Callable[[Callable], Callable]:
    """Decorates an operation with the single ones that `single` does the same with."""

    def decorate(fused: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        @functools.wraps(fused)
        def chosen(*arguments: tf.Tensor) -> tf.Tensor:
            return (single if _single else fused)(*arguments)

        return chosen

    return decorate

"""Where the time of a compiled step goes, by type of operation."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

from utils.benchmarking.timing import timed

CPU_PLANE = "/host:CPU"
OPERATION = re.compile(r"[^:]+:(\w+)")  # name of the node, type of its operation


def operation_shares(action: Callable[[], Any]) -> dict[str, float]:
    """Returns the fraction of the time inside all CPU kernels that each type of operation takes.

    TensorFlow's profiler watches one call; how many cores a kernel keeps busy is not seen. Types
    are those of the optimised graph, such as `_MklNativeConv2D`, the largest fraction first.

    Args:
        action: function that an earlier call has compiled.
    """
    with TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        try:
            timed(action)
        finally:
            tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = XSpace.FromString(file.read_bytes())
    picoseconds: Counter = Counter()
    for plane in space.planes:
        if plane.name == CPU_PLANE:
            for event in (event for line in plane.lines for event in line.events):
                match = OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name)
                if match:
                    picoseconds[match[1]] += event.duration_ps
    total = sum(picoseconds.values())
    return {kind: taken / total for kind, taken in picoseconds.most_common()}

"""Several processes that train together: the check of TF_CONFIG, and the loss of one of them."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Optional

import tensorflow as tf

from utils.errors import TrainingError, UserError

JOBS = ("chief", "worker")
_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}|\[[\da-fA-F:.]+\]:\d{1,5}", re.ASCII)
_EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
_LOST = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError)
_TASK = re.compile(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)")


class WorkerLostError(TrainingError):
    """Another process of the cluster does not answer any more."""


class Cluster(NamedTuple):
    """The processes that train together, and which of them this one is.

    Attributes:
        addresses: "host:port" by job, of each of its processes.
        job: of this process, chief or worker.
        index: of this process within its job.
    """

    addresses: dict[str, list[str]]
    job: str
    index: int

    @property
    def size(self) -> int:
        """Number of processes."""
        return sum(map(len, self.addresses.values()))

    def name(self, job: str, index: int) -> str:
        """Returns what a process is called in sentences, such as "worker 1 (b:2222)"."""
        return f"{job} {index} ({self.addresses[job][index]})"


def read_cluster() -> Optional[Cluster]:
    """Returns the cluster that TF_CONFIG describes, or None without this environment variable.

    Raises UserError if TF_CONFIG is no such description, or if this process' port is in use, for
    example by another process with the same index on this machine. A second one on another machine
    is noticed only when the processes connect. Call it before TensorFlow listens at the port.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        cluster = _parse(text)
    except ValueError as problem:
        raise UserError(
            f"The environment variable TF_CONFIG is {text!r}: {problem}; expected JSON such as "
            f"{_EXAMPLE} whose task is part of its cluster; correct or unset it"
        ) from None
    _check_port(cluster)
    return cluster


def _parse(text: str) -> Cluster:
    """Raises ValueError with the problem."""
    try:
        content = json.loads(text)
        addresses, task = content["cluster"], content["task"]
        job, index = task["type"], task["index"]
        lists = {name: list(each) for name, each in addresses.items() if not isinstance(each, str)}
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON ({error})") from None
    except RecursionError:
        raise ValueError("its lists lie too deep") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"it lacks a cluster or a task ({error!r})") from None
    if isinstance(index, bool) or not isinstance(index, int):
        raise ValueError(f"the task's index is {index!r}, expected a whole number")
    unknown = [name for name in (*addresses, job) if name not in JOBS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(JOBS)}")
    everyone = [address for each in lists.values() for address in each]
    for address in everyone:
        if not isinstance(address, str) or not _is_address(address):
            raise ValueError(f"{address!r} is no host:port")
        if everyone.count(address) > 1:
            raise ValueError(f"{address!r} is there more than once")
    if len(lists.get("chief", ())) > 1:
        raise ValueError("there is more than one chief")
    if not 0 <= index < len(lists.get(job, ())):
        raise ValueError(f"there is no {job} {index}, numbers start at 0")
    return Cluster(lists, job, index)


def _is_address(text: str) -> bool:
    return bool(_ADDRESS.fullmatch(text)) and 0 < int(text.rpartition(":")[2]) < 2**16


def _check_port(cluster: Cluster) -> None:
    port = int(cluster.addresses[cluster.job][cluster.index].rpartition(":")[2])
    with socket.socket() as probe:
        # Connections of a process that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(
                f"Port {port}, at which TF_CONFIG lets {cluster.job} {cluster.index} listen, "
                f"cannot be used on this machine ({error.strerror}); give every process its own "
                "index, end what is left of an earlier start, or choose another port"
            ) from error


@contextmanager
def naming_lost_workers() -> Iterator[None]:
    """Raises WorkerLostError instead of TensorFlow's error about a process that is gone.

    A process that ends takes its connections along, which the others notice at once. One that goes
    silent, as its machine or the network is gone, misses TensorFlow's heartbeats, which the others
    notice within half a minute.
    """
    try:
        yield
    except tf.errors.OpError as error:
        aborted = "Collective ops is aborted" in error.message
        text = os.environ.get("TF_CONFIG")
        if not text or not (aborted or isinstance(error, _LOST)):
            raise
        cluster = _parse(text)
        raise WorkerLostError(
            f"{_lost(cluster, error.message)} of the {cluster.size} processes in TF_CONFIG does "
            "not answer any more; see what it told last, then start all of them again with "
            "--resume; checkpoints are whole"
        ) from error


def _lost(cluster: Cluster, message: str) -> str:
    """Returns the name of another process that an error names."""
    found = [(job, int(index)) for job, index in _TASK.findall(message)]
    known = [(job, i) for job, i in found if 0 <= i < len(cluster.addresses.get(job, ()))]
    others = [process for process in known if process != (cluster.job, cluster.index)]
    return cluster.name(*others[0]) if others else "one"

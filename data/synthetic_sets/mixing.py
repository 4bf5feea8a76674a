"""Training sets mixed from real, synthetic and augmented slices, for the thesis' Table 5.

All amounts are multiples of the number N of real training slices. A smaller part is contained in a
larger one: 10 % of the real slices lie in 20 %, half of the synthetic ones in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import tensorflow as tf

from data.contract import DataSet
from data.pipeline import RecordFile, dealt_batches, shuffled_records
from data.shards import parse_record
from data.synthetic_sets.enhancement import enhance
from utils.errors import UserError
from utils.seeding import derive_seed, fold_in

SubsetRule = Literal["slices", "patients"]


@dataclass(frozen=True)
class Sources:
    """What training sets are mixed from.

    Attributes:
        real: the training patients' files, every slice kept.
        synthetic: files of synthetic slices, every slice kept.
        ranks: for each real file the places [records] of its slices when a part of them is taken.
        pasted: files of real slices with the lesion of another patient, every slice kept.
    """

    real: Sequence[RecordFile]
    synthetic: Sequence[RecordFile]
    ranks: Sequence[np.ndarray]
    pasted: Sequence[RecordFile] = ()

    @property
    def slices(self) -> int:
        """The number N of real training slices, which an amount of 1 stands for."""
        return sum(len(file.keep) for file in self.real)


class Phase(NamedTuple):
    """A stretch of training on one shuffled pool: its files and how many examples it presents."""

    files: Sequence[RecordFile]
    examples: int


def subset_ranks(counts: Sequence[int], rule: str, seed: int) -> list[np.ndarray]:
    """Returns the order in which slices enter a part of the real data: [counts[i]] for file i.

    Args:
        counts: slices of each patient.
        rule: "slices" shuffles the slices of all patients, as the thesis does; "patients" takes one
            whole patient after the other, and a random part of the last patient.
        seed: of the order.

    Raises:
        UserError: the rule is unknown.
    """
    if rule not in get_args(SubsetRule):
        raise UserError(f"The subset rule is {rule!r}; give {' or '.join(get_args(SubsetRule))}")
    rng = np.random.default_rng(seed)
    total = sum(counts)
    order = rng.permutation(total)
    if rule == "patients":
        patient = np.repeat(rng.permutation(len(counts)), counts)
        order = order[np.argsort(patient[order], kind="stable")]
    ranks = np.empty(total, int)
    ranks[order] = np.arange(total)
    return np.split(ranks, np.cumsum(counts)[:-1])


def pool(
    sources: Sources,
    real: float = 0,
    synthetic: float = 0,
    augmented: float = 0,
    pasted: float = 0,
) -> list[RecordFile]:
    """Returns the files of a mixture with the amounts given, in multiples of N.

    The tag of an augmented slice is the number of its copy, from 1; that of every other slice is 0.

    Raises:
        UserError: `real` is above 1, there are too few synthetic or pasted slices, or nothing is
            chosen.
    """
    size, files = sources.slices, _prefix(sources, real, 0)
    made = {"synthetic": (sources.synthetic, synthetic), "pasted": (sources.pasted, pasted)}
    missing = {name: _take(files, *part, size) for name, part in made.items()}
    if any(missing.values()) or real > 1:
        lacking = [f"{number} more {name}" for name, number in missing.items() if number]
        raise UserError(
            f"A mixture of {real:g} real, {synthetic:g} synthetic and {pasted:g} pasted needs at "
            f"most {size} real and {' and '.join(lacking) or 'no more'} slices than there are; "
            "draw more or mix less"
        )
    for copy in range(1, int(np.ceil(augmented)) + 1):
        files += _prefix(sources, min(1, augmented - copy + 1), copy)
    files = [file for file in files if file.keep.any()]
    if not files:
        raise UserError(
            f"A mixture of {real:g} real, {synthetic:g} synthetic and {augmented:g} augmented "
            f"times {size} slices holds no slice; use more patients or larger amounts"
        )
    return files


def _take(files: list[RecordFile], source: Sequence[RecordFile], amount: float, size: int) -> int:
    """Adds the first `amount` * `size` slices of a source; returns how many slices it lacks."""
    wanted = round(amount * size)
    for file in source:
        taken = min(wanted, len(file.keep))
        files.append(file._replace(keep=np.arange(len(file.keep)) < taken))
        wanted -= taken
    return wanted


def _prefix(sources: Sources, share: float, tag: int) -> list[RecordFile]:
    limit = round(share * sources.slices)
    pairs = zip(sources.real, sources.ranks)
    return [RecordFile(file.path, ranks < limit, tag) for file, ranks in pairs]


def mixed_batches(
    phases: Sequence[Phase],
    dataset: DataSet,
    size: tuple[int, ...],
    seed: int,
    enhancement_seed: int,
    *,
    batch_size: int,
    first_step: int = 0,
    shard: tuple[int, int, int] = (0, 1, 1),
) -> tf.data.Dataset:
    """Returns an endless data set of batches `images`, `label`, `seed`, `source` (`data.contract`).

    The batch of a step is a function of the arguments. An augmented slice is a function of its
    source and the copy's number, so every epoch has the same augmented slices, as if stored.

    Args:
        phases: phases of the training, in order; the last one does not end.
        dataset: the data set of the slices, with a label.
        size: (H, W) of the slices, pixels.
        seed: random seed of the order.
        enhancement_seed: random seed of the augmented copies.
        batch_size: examples per step over all replicas.
        first_step: number of the first step.
        shard: as in `data.pipeline.training_batches`.
    """
    first = first_step * batch_size
    base_seed, order_seed = (
        np.array([derive_seed(number, part) for part in "ab"], np.int32)
        for number in (enhancement_seed, seed)
    )
    augmented = any(file.tag for phase in phases for file in phase.files)

    def copy_seed(copy: tf.Tensor, example: dict[str, tf.Tensor]) -> tf.Tensor:
        subject, axial = tf.unstack(example["source"])
        return fold_in(fold_in(fold_in(tf.constant(base_seed), copy), subject), axial)

    def decode(element: dict) -> dict[str, tf.Tensor]:
        record, copy = element["record"]
        example = parse_record(record, dataset, size)
        example["seed"] = fold_in(tf.constant(order_seed), element["index"])
        if not augmented:
            return example
        images, label = tf.cond(
            copy > 0,
            lambda: enhance(example["images"], example["label"], copy_seed(copy, example)),
            lambda: (example["images"], example["label"]),
        )
        return {**example, "images": images, "label": label}

    streams = {"record": _in_turn(phases, seed, first)}
    return dealt_batches(streams, decode, first, batch_size, shard)


def _in_turn(phases: Sequence[Phase], seed: int, first: int) -> tf.data.Dataset:
    """Returns the pairs (record, tag) of the phases from example `first` on."""
    start, streams = 0, []
    for number, phase in enumerate(phases):
        last = number == len(phases) - 1
        if last or first < start + phase.examples:
            skipped = max(0, first - start)
            stream = shuffled_records(phase.files, derive_seed(seed, "phase", number), skipped)
            streams.append(stream if last else stream.take(phase.examples - skipped))
        start += phase.examples
    whole = streams[0]
    for stream in streams[1:]:
        whole = whole.concatenate(stream)
    return whole


def number_kept(files: Iterable[RecordFile]) -> int:
    """Returns how many slices of some files take part."""
    return sum(int(file.keep.sum()) for file in files)

"""The files of a synthetic data set, and how several processes divide the samples.

synthetic/datasheet.md      what the set is, made from what and how, its limits, for people
synthetic/manifest.json     settings, seed, counts of what was rejected and why, and where there are
                            maps, of those that were taken after all retries without passing
synthetic/samples.csv       one row per sample
synthetic/samples/*.npz     images [(D,)H,W,M] float32; if there are labels, label [(D,)H,W] uint8,
                            and boxes [N,5] float32 where they are boxes; of a set drawn from maps
                            also structure and outside uint8, [H,W], or [H,W,K] of K maps
synthetic/samples/*.json    the sample's row; written last, it marks the sample as complete
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import pandas as pd

from data.contract import MAPS
from utils.errors import UserError
from utils.runs.files import (
    as_json,
    damaged,
    read_json,
    remove_leftovers,
    replacing_all,
    write_json,
    write_text,
)
from utils.runs.locking import locked
from utils.runs.reading import read_arrays, read_table

MANIFEST = "manifest.json"
DATASHEET = "datasheet.md"
Describe = Callable[[Mapping[str, Any]], str]  # content of the manifest -> text of the datasheet
ARRAYS = {"images": np.float32, **dict.fromkeys(("label", *MAPS), np.uint8), "boxes": np.float32}
UNLABELLED = {"labels": "none"}  # in the manifest of a set without labels
DONOR = "donor_source"  # column of a set of changed labels: whose lesion is in it, -1 for none
PLACE = ("origin", "direction")  # columns of a set of volumes, see `data.contract.Place`
RETRIES = "accepted_after_retries"  # column of a set drawn from maps, and its sum
COLUMNS = {
    **{"sample": int, "file": str, "seed": str, "label_source": int},
    **{"score": float, "selected": bool},
}
Sample = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]  # its row and its arrays, by name
_SAMPLE = re.compile(r"synthetic_(\d{6,})\.(?:npz|json)")
_LOCK = re.compile(r"lock-(\d+)-of-(\d+)\.json")


class Shard(NamedTuple):
    """The samples of a set that one process draws: those whose number % `count` is `index`."""

    index: int
    count: int

    def numbers(self, samples: int) -> range:
        """Returns the shard's numbers among those of a set of `samples`."""
        return range(self.index, samples, self.count)

    def owns(self, name: str) -> bool:
        """Returns whether a file of this name belongs to one of the shard's samples."""
        number = _number(name)
        return number is not None and number % self.count == self.index

    def overlaps(self, other: Shard) -> bool:
        """Returns whether two shards have a sample in common; their `count` may differ."""
        return (self.index - other.index) % math.gcd(self.count, other.count) == 0

    @property
    def lock(self) -> str:
        """The name of the file by which a process holds the shard."""
        return f"lock-{self.index}-of-{self.count}.json"


WHOLE = Shard(0, 1)


@contextmanager
def holding(directory: Path, shard: Shard) -> Iterator[None]:
    """Keeps other processes from drawing a shard's samples, while those of other shards go on.

    A missing folder is made, and unfinished files of these samples by a killed process are removed.

    Raises UserError if another process draws some of them, or if the folder cannot be written.
    """
    with ExitStack() as stack:
        stack.enter_context(locked(directory, shard.lock))
        # The own lock comes first, so that of two processes at least one sees the other's.
        found = map(_LOCK.fullmatch, sorted(path.name for path in Path(directory).iterdir()))
        others = [Shard(int(match[1]), int(match[2])) for match in found if match]
        for other in others:
            if other != shard and shard.overlaps(other):
                stack.enter_context(locked(directory, other.lock))
        if sample_folder(directory).exists():
            remove_leftovers(sample_folder(directory), shard.owns)
        yield


def sample_folder(directory: Path) -> Path:
    """Returns where a set's samples are."""
    return Path(directory) / "samples"


def array_path(directory: Path, number: int) -> Path:
    """Returns the file of a sample's arrays."""
    return sample_folder(directory) / f"synthetic_{number:06d}.npz"


def row_path(directory: Path, number: int) -> Path:
    """Returns the file of a sample's row."""
    return array_path(directory, number).with_suffix(".json")


def _number(name: str) -> Optional[int]:
    match = _SAMPLE.fullmatch(name)
    return int(match[1]) if match else None


def samples_there(directory: Path) -> set[int]:
    """Returns the numbers of the samples that are complete, from one look at the folder."""
    folder = sample_folder(directory)
    names = Counter(_number(path.name) for path in folder.iterdir()) if folder.exists() else {}
    return {number for number, files in names.items() if number is not None and files == 2}


def is_complete(directory: Path, samples: int) -> bool:
    """Returns whether all samples of a set of this size are there."""
    there = samples_there(directory)  # may be far fewer: the range is not made a set of
    return len(there) >= samples and all(number in there for number in range(samples))


def write_samples(directory: Path, samples: Sequence[Sample]) -> None:
    """Writes the files of one or more samples, flushed to the disk together.

    Raises DiskFullError if there is no room.
    """
    numbers = [row["sample"] for row, _ in samples]
    paths = [place(directory, n) for place in (array_path, row_path) for n in numbers]
    with replacing_all(paths) as temporaries:
        for (row, arrays), array_file, row_file in zip(
            samples, temporaries, temporaries[len(samples) :]
        ):
            np.savez(array_file, **arrays)  # deflating would cost time and save little
            row_file.write_text(as_json(row), encoding="utf-8")


class Background:
    """Context in which one action at a time runs beside the main thread, in order.

    An exception of an action is raised by the next `run`, which then runs nothing, or at the end.
    """

    def __enter__(self) -> Background:
        self._pool = ThreadPoolExecutor(1)
        self._last: Optional[Future] = None
        return self

    def run(self, action: Callable[[], None]) -> None:
        """Starts an action as soon as the one before has ended."""
        if self._last is not None:
            self._last.result()
        self._last = self._pool.submit(action)

    def __exit__(self, kind: Optional[type], *_: object) -> None:
        self._pool.shutdown()
        if kind is None and self._last is not None:
            self._last.result()


def write_manifest(
    directory: Path,
    settings: Mapping[str, Any],
    seed: int,
    notes: Mapping[str, str],
    describe: Describe,
) -> Optional[dict[str, int]]:
    """Writes samples.csv, datasheet.md and manifest.json if no sample is missing.

    Every process writes the same. The manifest comes last: it marks the set as finished.

    Args:
        directory: the data set's folder.
        settings: fields of the `SyntheticConfig`.
        seed: random seed of the data set.
        notes: free text that the manifest begins with.
        describe: makes the datasheet.

    Returns:
        Counts of rejections by reason, or None if there are samples still to be drawn.
    """
    numbers = range(settings["samples"])
    if not is_complete(directory, len(numbers)):
        return None
    rows = [read_json(row_path(directory, number)) for number in numbers]
    rejected: Counter = Counter()
    for row in rows:
        rejected.update(row.pop("rejected"))
    rejected["score below threshold"] = sum(not row["selected"] for row in rows)
    table = pd.DataFrame(rows)
    write_text(Path(directory) / "samples.csv", table.to_csv(index=False))
    counts = {reason: int(count) for reason, count in sorted(rejected.items())}
    manifest = {
        **notes,
        "settings": dict(settings),
        "seed": seed,
        "samples": len(rows),
        "selected": int(table["selected"].sum()),
        **({RETRIES: int(table[RETRIES].sum())} if RETRIES in table else {}),
        "rejected": counts,
    }
    write_text(Path(directory) / DATASHEET, describe(manifest))
    write_json(Path(directory) / MANIFEST, manifest)
    return counts


def read_manifest(directory: Path) -> Optional[dict[str, Any]]:
    """Returns manifest.json of a finished set, or None if there is none.

    Raises UserError if the file is damaged or lacks the counts of a manifest.
    """
    path = Path(directory) / MANIFEST
    if not path.exists():
        return None
    manifest = read_json(path, dict)
    counts = [manifest.get(name) for name in ("samples", "selected")]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise damaged(path, f"its numbers of samples and selected ones are {counts}")
    if not isinstance(manifest.get("rejected"), dict):
        raise damaged(path, "it does not count what was rejected")
    return manifest


def read_rows(directory: Path) -> pd.DataFrame:
    """Returns samples.csv of a finished set, a row per sample in order.

    Raises UserError if the set is not finished, or the table's rows are not the set's samples.
    """
    manifest = finished_manifest(directory)
    path = Path(directory) / "samples.csv"
    table = read_table(path, COLUMNS)
    if table["sample"].tolist() != list(range(manifest["samples"])):
        raise damaged(path, f"its {len(table)} rows are not samples 0 to {manifest['samples'] - 1}")
    return table


def finished_manifest(directory: Path) -> dict[str, Any]:
    """Returns the manifest of a finished set; UserError if it is not finished."""
    manifest = read_manifest(directory)
    if manifest is None:
        raise UserError(
            f"{directory} is not a finished synthetic set (no {MANIFEST}); run stage dataset"
        )
    return manifest


def read_synthetic_set(directory: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yields the samples of a finished set in order, see `read_sample`.

    Raises UserError if the set is not complete, a sample is damaged, or only some have maps.
    """
    size, names, manifest = None, None, finished_manifest(directory)
    for number in range(manifest["samples"]):
        sample = read_sample(array_path(directory, number), not is_unlabelled(manifest))
        size, names = size or sample["images"].shape, names or set(sample)
        if sample["images"].shape != size:
            found = sample["images"].shape
            raise damaged(array_path(directory, number), f"it is {found}, the others are {size}")
        if set(sample) != names:
            text = f"it holds {', '.join(sorted(sample))}, the others {', '.join(sorted(names))}"
            raise damaged(array_path(directory, number), text)
        yield sample


def is_unlabelled(manifest: Mapping[str, Any]) -> bool:
    """Returns whether a set has no labels."""
    return UNLABELLED.items() <= manifest.items()


def read_sample(path: Path, labelled: bool = True) -> dict[str, np.ndarray]:
    """Returns the arrays of one sample, see the head of this module.

    Args:
        path: its file.
        labelled: whether it has to have a label.

    Raises:
        UserError: the file is damaged, or one of these arrays is missing or has the wrong size or
            type.
    """
    arrays = read_arrays(path)
    wanted = {"images", *(("label",) if labelled else ()), *(set(ARRAYS) & set(arrays))}
    wanted.update(MAPS if wanted & set(MAPS) else ())
    size = arrays["images"].shape[:-1] if "images" in arrays else ()
    rank = len(size)
    axes = {"images": (rank + 1,), "label": (rank,), "boxes": (2,)}
    for name in sorted(wanted):
        array = arrays.get(name, np.empty(0))
        placed = name == "boxes" or array.shape[:rank] == size
        known = rank in (2, 3) and array.ndim in axes.get(name, (rank, rank + 1))
        if array.dtype != ARRAYS[name] or not known or not placed:
            raise damaged(path, f"{name} is missing or of another size or type")
    return arrays

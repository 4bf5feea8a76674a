"""Prepared slices, cached once as TFRecord: one file per case, so a split is a choice of files.

A cache directory is written under a hidden name and renamed when it is complete. Its name is a
hash of everything the slices depend on, so it never goes stale.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.boxes import painted
from data.contract import BOX_ROW, BOXES, IMAGE, PIXELS, Case, CaseSlices, Config, DataSet, Place
from utils.errors import UserError
from utils.runs.files import making_folder, write_json

FORMAT_VERSION = 5
INDEX = "index.json"
_SCALE = 65535  # intensities are stored as 16-bit fixed point: rounding moves them by at most 8e-6


@dataclass(frozen=True)
class PreparedSlices:
    """A complete cache directory.

    Attributes:
        dataset: the data set of the slices.
        directory: path of the cache directory.
        subject_ids: ids of the cases; the tuples below have the same order.
        files: file with the records of each case.
        slices_per_subject: number of slices of each case.
        lesions_per_subject: number of each case's slices with a lesion.
        places: where each case's volumes lie.
        size: (H, W) of a slice in pixels, (D, H, W) of a volume.
    """

    dataset: DataSet
    directory: Path
    subject_ids: tuple[str, ...]
    files: tuple[Path, ...]
    slices_per_subject: tuple[int, ...]
    lesions_per_subject: tuple[int, ...]
    places: tuple[Place, ...]
    size: tuple[int, ...]

    def with_subject(self, name: str, file: Path, count: int) -> PreparedSlices:
        """Returns the same with `count` more slices of a file, as if of one more patient."""
        return replace(
            self,
            subject_ids=(*self.subject_ids, name),
            files=(*self.files, file),
            slices_per_subject=(*self.slices_per_subject, count),
            lesions_per_subject=(*self.lesions_per_subject, count),
            places=(*self.places, self.places[0]),
        )

    @classmethod
    def open(cls, dataset: DataSet, directory: Path) -> PreparedSlices:
        """Opens a directory that `prepare_shards` made of a data set.

        Raises:
            UserError: the index or a shard is missing, unreadable or of another length.
        """
        directory = Path(directory)
        try:
            index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
            prepared = cls(
                dataset,
                directory,
                tuple(row["id"] for row in index["subjects"]),
                tuple(directory / row["file"] for row in index["subjects"]),
                tuple(row["slices"] for row in index["subjects"]),
                tuple(row["slices_with_lesion"] for row in index["subjects"]),
                tuple(Place(*map(tuple, row["place"])) for row in index["subjects"]),
                tuple(index["size"]),
            )
            lengths = [row["bytes"] for row in index["subjects"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _incomplete(directory, INDEX) from error
        for file, length in zip(prepared.files, lengths):
            if not file.is_file() or file.stat().st_size != length:
                raise _incomplete(directory, file.name)
        return prepared


def prepare_shards(
    dataset: DataSet,
    cases: Sequence[Case],
    config: Config,
    cache: Path,
    progress: bool = True,
) -> PreparedSlices:
    """Returns the cached slices of `cases`, preparing them first where there are none.

    Slices that the data set skips as empty are counted in the index. Processes may build the same
    cache at once: the first to finish wins, the others use its result. A killed one leaves a hidden
    folder `.<hex>-slices-...` that nothing reads and that may be deleted.

    Args:
        dataset: the data set of the cases.
        cases: complete; their order gives the case's index in the records.
        config: configuration of the data set, settled or not.
        cache: folder that holds the `slices-<hash>` directories; created.
        progress: whether a bar with the remaining time goes to stderr.

    Raises:
        UserError: `settle` or `prepare` of the data set refuses a case, slices are not what the
            data set describes, the folder cannot be written, or the cache directory is incomplete.
        DiskFullError: the disk has no room for the slices.
    """
    config = dataset.settle(cases, config)
    directory = shards_directory(dataset, cases, config, cache)
    if directory.exists():
        return PreparedSlices.open(dataset, directory)
    try:
        with making_folder(directory, _bytes(dataset, len(cases), config)) as building:
            bar = tqdm(cases, desc="Preparing slices", unit="subject", disable=not progress)
            rows = [_write_shard(building, i, dataset, c, config) for i, c in enumerate(bar)]
            index = {
                "version": FORMAT_VERSION,
                "dataset": dataset.name,
                "config": asdict(config),
                "size": dataset.size(config),
                "subjects": rows,
            }
            write_json(building / INDEX, index)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"Cannot write the prepared slices to {cache} ({error}); check its rights or choose "
            "another --cache."
        ) from error
    return PreparedSlices.open(dataset, directory)


def _bytes(dataset: DataSet, cases: int, config: Config) -> int:
    """Returns what the slices take at most, with two bytes per intensity."""
    size = dataset.size(config)
    label = np.empty(_label_shape(dataset, size), _label_type(dataset)).nbytes
    slices = cases * dataset.most_slices(config)
    return slices * (2 * math.prod(size) * len(dataset.channels) + label * dataset.has_label)


def _label_shape(dataset: DataSet, size: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of the label of one slice in `CaseSlices`, without its first side."""
    return {IMAGE: (), BOXES: (dataset.most_boxes, BOX_ROW)}.get(dataset.label_kind, tuple(size))


def _label_type(dataset: DataSet) -> str:
    return "<f4" if dataset.label_kind == BOXES else "u1"


def shards_directory(dataset: DataSet, cases: Sequence[Case], config: Config, cache: Path) -> Path:
    """Returns where `prepare_shards` keeps these slices; it exists only when they are complete.

    Raises UserError if `DataSet.settle` refuses the cases.
    """
    # Settled, so that a value given by hand and the same value from the cases use one cache.
    return Path(cache) / f"slices-{_key(dataset, cases, dataset.settle(cases, config))}"


def parse_record(
    serialized: tf.Tensor, dataset: DataSet, size: tuple[int, ...]
) -> dict[str, tf.Tensor]:
    """Decodes one record.

    Args:
        serialized: string [], a `tf.train.Example`.
        dataset: the data set of the slice.
        size: (H, W) or (D, H, W) in pixels, `PreparedSlices.size`.

    Returns:
        images: float32 [(D,)H,W,M] in [0,1], order `DataSet.channels`.
        label: int32 [(D,)H,W,1], numbers of classes; absent for a data set without label.
        boxes: float32 [N,5], where the label is boxes.
        source: int32 [2], the case's index and the number of the slice.
    """
    names = ("images", "label") if dataset.has_label else ("images",)
    features = dict.fromkeys(names, tf.io.FixedLenFeature([], tf.string))
    source = tf.io.FixedLenFeature([2], tf.int64)
    record = tf.io.parse_single_example(serialized, {**features, "source": source})
    images = tf.cast(tf.io.decode_raw(record["images"], tf.uint16), tf.float32) / _SCALE
    example = {"images": tf.reshape(images, [*size, len(dataset.channels)])}
    if dataset.has_label:
        example.update(_parsed_label(record["label"], dataset, size))
    return {**example, "source": tf.cast(record["source"], tf.int32)}


def _parsed_label(
    content: tf.Tensor, dataset: DataSet, size: tuple[int, ...]
) -> dict[str, tf.Tensor]:
    """Returns `label` of one record, and `boxes` where it is boxes."""
    if dataset.label_kind == BOXES:
        boxes = tf.reshape(tf.io.decode_raw(content, tf.float32), [dataset.most_boxes, BOX_ROW])
        return {"label": painted(boxes, size), "boxes": boxes}
    label = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.int32)
    if dataset.label_kind == IMAGE:
        return {"label": tf.fill([*size, 1], label[0])}
    return {"label": tf.reshape(label, [*size, 1])}


def _write_shard(
    folder: Path, number: int, dataset: DataSet, case: Case, config: Config
) -> dict[str, object]:
    """Writes the slices of one case and returns its row of the index."""
    slices = dataset.prepare(case, config)
    _check_slices(dataset, case, slices, dataset.size(config))
    labels = [None] * len(slices.images) if slices.label is None else slices.label
    lesions = 0
    if slices.label is not None:
        lesions = _any(dataset.classes_in(slices.label) >= dataset.first_lesion).sum()
    path = folder / f"{number:04d}.tfrecord"  # an id may be as long as a file's name can be
    with tf.io.TFRecordWriter(str(path)) as writer:
        for images, label, index in zip(slices.images, labels, slices.index):
            writer.write(serialize_record(images, label, (number, int(index))))
    return {
        "id": case.id,
        "file": path.name,
        "bytes": path.stat().st_size,
        "slices": len(slices.images),
        "slices_with_lesion": int(lesions),
        "empty_slices_skipped": slices.skipped,
        "place": slices.place,
    }


def _any(label: np.ndarray) -> np.ndarray:
    """Returns bool [N]: in which of the maps [N,(D,)H,W] there is something."""
    return label.reshape(len(label), -1).any(axis=1)


def _check_slices(dataset: DataSet, case: Case, slices: CaseSlices, size: tuple[int, ...]) -> None:
    """Raises UserError for slices that are not what their data set describes."""
    images, label, *_ = slices
    shapes = [images.shape, None if label is None else label.shape]
    count, kind = len(slices.index), _label_type(dataset)
    shape = (count, *_label_shape(dataset, size))
    expected = [(count, *size, len(dataset.channels)), shape if dataset.has_label else None]
    half = 0.5 / _SCALE  # beyond it fixed point would wrap around
    fits = ((images > -half) & (images < 1 + half)).all()
    if label is not None:
        fits &= label.dtype == np.dtype(kind)
        fits &= (dataset.classes_in(label) < dataset.num_classes).all()
    if shapes != expected or not fits:
        raise UserError(
            f"Case {case.id} must give images in [0,1] and a label of type {np.dtype(kind)} and of "
            f"classes below {dataset.num_classes} with the shapes {expected}, found the shapes "
            f"{shapes}; correct `prepare` or the description of the data set {dataset.name}."
        )


def serialize_record(
    images: np.ndarray, label: Optional[np.ndarray], source: tuple[int, int]
) -> bytes:
    """Encodes one slice for `parse_record`.

    Args:
        images: [(D,)H,W,M] in [0,1].
        label: of one slice in `CaseSlices`, or uint8 [(D,)H,W,1]; None where there is none.
        source: the case's index and the number of the slice.
    """
    texts = {"images": np.rint(images * _SCALE).astype("<u2").tobytes()}
    if label is not None:
        texts["label"] = label.tobytes()
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
        for name, text in texts.items()
    }
    feature["source"] = tf.train.Feature(int64_list=tf.train.Int64List(value=source))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _key(dataset: DataSet, cases: Sequence[Case], config: Config) -> str:
    """Hashes what the slices depend on.

    A source file counts by relative path, size and modification time: reading the content of a
    whole data set would take minutes at every start.
    """
    common = os.path.commonpath([path.parent for case in cases for path in case.paths])
    sources = [
        [case.id, [[os.path.relpath(path, common), *_stamp(path)] for path in case.paths]]
        for case in cases
    ]
    description = [dataset.name, dataset.channels, dataset.classes]
    if dataset.label_kind != PIXELS:
        description += [dataset.label_kind, dataset.most_boxes]
    text = json.dumps([FORMAT_VERSION, description, asdict(config), sources], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _incomplete(directory: Path, file: str) -> UserError:
    return UserError(
        f"The cached slices in {directory} are incomplete ({file} is missing or damaged); delete "
        "that directory so that it is made again."
    )


@contextmanager
def naming_damaged_slices(prepared: PreparedSlices) -> Iterator[None]:
    """Turns TensorFlow's DataLossError into a UserError that names the file with a wrong checksum.

    Files are read whole only when that has happened.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        for file in prepared.files:
            if not _checksums_hold(file):
                raise _incomplete(prepared.directory, file.name) from error
        raise


def _checksums_hold(file: Path) -> bool:
    try:
        for _ in tf.data.TFRecordDataset(str(file)):
            pass
    except tf.errors.DataLossError:
        return False
    return True

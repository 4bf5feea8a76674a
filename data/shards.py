"""Prepared slices, cached once as TFRecord: one file per subject, so a split is a choice of files.

A cache directory is written under a hidden name and renamed when it is complete. Its name is a
hash of everything the slices depend on, so it never goes stale.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.brats.slices import Place, SliceConfig, output_size, prepare_subject, slices_with_signal
from data.brats.subjects import Subject
from data.contract import MODALITIES
from utils.errors import UserError
from utils.runs.files import making_folder, write_json

FORMAT_VERSION = 3
INDEX = "index.json"
_SCALE = 65535  # intensities are stored as 16-bit fixed point: rounding moves them by at most 8e-6


@dataclass(frozen=True)
class PreparedSlices:
    """A complete cache directory.

    Attributes:
        directory: its path.
        subject_ids: the cases; the tuples below share their order.
        files: the records of each.
        slices_per_subject: their number.
        places: where each case's volumes lie.
        size: (H, W) of a slice in pixels.
    """

    directory: Path
    subject_ids: tuple[str, ...]
    files: tuple[Path, ...]
    slices_per_subject: tuple[int, ...]
    places: tuple[Place, ...]
    size: tuple[int, int]

    @classmethod
    def open(cls, directory: Path) -> PreparedSlices:
        """Opens a directory made by `prepare_shards`.

        Raises:
            UserError: the index or a shard is missing, unreadable or of another length.
        """
        directory = Path(directory)
        try:
            index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
            prepared = cls(
                directory,
                tuple(row["id"] for row in index["subjects"]),
                tuple(directory / row["file"] for row in index["subjects"]),
                tuple(row["slices"] for row in index["subjects"]),
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
    subjects: Sequence[Subject],
    config: SliceConfig,
    scheme: str,
    cache: Path,
    progress: bool = True,
) -> PreparedSlices:
    """Returns the cached slices of `subjects`, preparing them first where there are none.

    Slices without signal (every modality constant) or enough brain (`config.min_brain_pixels`) are
    left out and counted in the index. Processes may build the same cache at once: the first to
    finish wins, the others use its result. A killed one leaves a hidden folder `.<hex>-slices-...`
    that nothing reads and that may be deleted.

    Args:
        subjects: the cases; their order gives the subject index of the records.
        config: range, crop and size.
        scheme: a key of `data.brats.label_schemes.SCHEMES`.
        cache: folder that holds the `slices-<hash>` directories; created.
        progress: whether a bar with the remaining time goes to stderr.

    Raises:
        UserError: bad data (see `prepare_subject`), a case without signal in the range, a folder
            that cannot be written, or an incomplete cache directory.
        DiskFullError: no room for them.
    """
    directory = shards_directory(subjects, config, scheme, cache)
    if directory.exists():
        return PreparedSlices.open(directory)
    try:
        with making_folder(directory, _bytes(subjects, config)) as building:
            bar = tqdm(subjects, desc="Preparing slices", unit="subject", disable=not progress)
            rows = [_write_shard(building, i, s, config, scheme) for i, s in enumerate(bar)]
            index = {
                "version": FORMAT_VERSION,
                "scheme": scheme,
                "config": asdict(config),
                "size": output_size(config),
                "subjects": rows,
            }
            write_json(building / INDEX, index)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"Cannot write the prepared slices to {cache} ({error}); check its rights or choose "
            "another --cache."
        ) from error
    return PreparedSlices.open(directory)


def _bytes(subjects: Sequence[Subject], config: SliceConfig) -> int:
    """Returns what the slices take at most, with two bytes per intensity and one per label."""
    height, width = output_size(config)
    slices = len(subjects) * (config.slices[1] - config.slices[0])
    return slices * height * width * (2 * len(MODALITIES) + 1)


def shards_directory(
    subjects: Sequence[Subject], config: SliceConfig, scheme: str, cache: Path
) -> Path:
    """Returns where `prepare_shards` keeps these slices; it exists only when they are complete."""
    return Path(cache) / f"slices-{_key(subjects, config, scheme)}"


def parse_record(serialized: tf.Tensor, size: tuple[int, int]) -> dict[str, tf.Tensor]:
    """Decodes one record.

    Args:
        serialized: string [], a `tf.train.Example`.
        size: (H, W) in pixels, `PreparedSlices.size`.

    Returns:
        images: float32 [H,W,4] in [0,1], order `MODALITIES`.
        label: int32 [H,W,1], 0..4 with the BRATS 2015 meaning.
        source: int32 [2], the subject's index and the axial index of the slice in its volume.
    """
    text = tf.io.FixedLenFeature([], tf.string)
    source = tf.io.FixedLenFeature([2], tf.int64)
    record = tf.io.parse_single_example(
        serialized, {"images": text, "label": text, "source": source}
    )
    images = tf.cast(tf.io.decode_raw(record["images"], tf.uint16), tf.float32) / _SCALE
    label = tf.cast(tf.io.decode_raw(record["label"], tf.uint8), tf.int32)
    return {
        "images": tf.reshape(images, [*size, len(MODALITIES)]),
        "label": tf.reshape(label, [*size, 1]),
        "source": tf.cast(record["source"], tf.int32),
    }


def _write_shard(
    folder: Path, number: int, subject: Subject, config: SliceConfig, scheme: str
) -> dict[str, object]:
    """Writes the slices of one subject and returns its row of the index."""
    images, label, axial, place = prepare_subject(subject, config, scheme)
    kept = slices_with_signal(f"Case {subject.id}", images, config)
    path = folder / f"{number:04d}.tfrecord"  # an id may be as long as a file's name can be
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in kept:
            writer.write(serialize_record(images[i], label[i], (number, int(axial[i]))))
    return {
        "id": subject.id,
        "file": path.name,
        "bytes": path.stat().st_size,
        "slices": len(kept),
        "empty_slices_skipped": config.slices[1] - config.slices[0] - len(kept),
        "place": place,
    }


def serialize_record(images: np.ndarray, label: np.ndarray, source: tuple[int, int]) -> bytes:
    """Encodes one slice for `parse_record`.

    Args:
        images: [H,W,4] in [0,1].
        label: uint8 [H,W] or [H,W,1], 0..4.
        source: the subject's index and the axial index of the slice.
    """
    fixed_point = np.rint(images * _SCALE).astype("<u2").tobytes()
    feature = {
        "images": tf.train.Feature(bytes_list=tf.train.BytesList(value=[fixed_point])),
        "label": tf.train.Feature(bytes_list=tf.train.BytesList(value=[label.tobytes()])),
        "source": tf.train.Feature(int64_list=tf.train.Int64List(value=source)),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _key(subjects: Sequence[Subject], config: SliceConfig, scheme: str) -> str:
    """Hashes what the slices depend on.

    A source file counts by relative path, size and modification time: reading the content of a
    whole data set would take minutes at every start.
    """
    paths = [[*subject.images.values(), subject.label] for subject in subjects]
    common = os.path.commonpath([path.parent for files in paths for path in files])
    sources = [
        [subject.id, [[os.path.relpath(path, common), *_stamp(path)] for path in files]]
        for subject, files in zip(subjects, paths)
    ]
    # A scheme given by hand and the same one implied by the names share a cache.
    settings = asdict(replace(config, label_scheme=scheme))
    text = json.dumps([FORMAT_VERSION, settings, sources], sort_keys=True)
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

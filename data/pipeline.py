"""The one `tf.data` pipeline: from prepared slices to batches that are a function of (seed, step).

Every epoch has its own seeded order; a resumed run skips the records that it has already read, and
so continues where it stopped. Each example carries its own `seed` for all its random draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from data.augmentation import NO_AUGMENTATION, Augmentation, augmented, moved_boxes
from data.boxes import painted
from data.contract import BOXES, IMAGE, DataSet
from data.shards import PreparedSlices, parse_record
from data.structure_maps.cutting import MapConfig, cut_maps
from data.structure_maps.labels import augment_label, choose_fitting_label
from utils.errors import UserError
from utils.seeding import derive_seed, fold_in

OPEN_FILES = 16  # patients read in turns
SHUFFLE_WINDOW = 512  # serialized slices that are shuffled together, fewer if they are large:
WINDOW_BYTES = 2**31
LABEL_CANDIDATES = 8  # labels tried per random map and training example


@dataclass(frozen=True)
class RandomMaps:
    """Generated structure maps with masks, and the labels to be matched to them.

    Args:
        structure, outside: uint8 [N,H,W,K], 0/1.
        labels: uint8 [L,H,W,1]; None = without label, or boxes.
        augment: apply two random operations to every label.
        match: choose labels that lie inside the mask; off = any label (Table 1, "no mask filter").
        boxes: float32 [L,M,5], sets of boxes in the place of labels.
        fitting: int32 [N,C], for each map C numbers of boxes that fit it.
    """

    structure: np.ndarray
    outside: np.ndarray
    labels: Optional[np.ndarray] = None
    augment: bool = False
    match: bool = True
    boxes: Optional[np.ndarray] = None
    fitting: Optional[np.ndarray] = None

    def as_tensors(self) -> RandomMaps:
        """Returns the same as tensors, which the pipeline's graph does not copy."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
        return replace(self, **{name: tf.constant(array) for name, array in arrays.items()})


def training_batches(
    prepared: PreparedSlices,
    subject_ids: Iterable[str],
    maps: Optional[MapConfig],
    seed: int,
    *,
    batch_size: int,
    first_step: int = 0,
    augmentation: Augmentation = NO_AUGMENTATION,
    repeats: Optional[Mapping[str, int]] = None,
    unpaired: bool = False,
    random_maps: Optional[RandomMaps] = None,
    shard: tuple[int, int, int] = (0, 1, 1),
) -> tf.data.Dataset:
    """Returns an endless data set of batch dicts (see `data.contract`) from training slices.

    Besides the contract's keys a batch holds `seed` [B,2] int32 and `source` [B,2] int32 (subject
    index, axial slice); with `unpaired` also `unpaired_images` [B,H,W,M], each modality from a
    shuffle of its own; with `random_maps` also `random_structure`, `random_outside` and what
    labels they come with, as `random_label` and `random_boxes`.

    Args:
        prepared: the cached slices.
        subject_ids: the subjects to use.
        maps: how structure maps are cut; None leaves `structure` and `outside` out of the batch.
        seed: random seed of the order and of all random draws.
        batch_size: examples per step over all replicas.
        first_step: number of the first step.
        augmentation: augmentation of images and label, before maps are cut.
        repeats: by name of a class, how many additional times each epoch shows its slices.
        unpaired: add independently shuffled modalities, or images.
        random_maps: add generated maps with fitting labels.
        shard: (this pipeline's index, number of pipelines, replicas per pipeline); elements are
            per-replica batches, in replica order.

    Raises:
        UserError: the data set does not allow these maps, augmentation, classes or random labels.
    """
    dataset, subject_ids = prepared.dataset, list(subject_ids)
    if maps is not None:
        maps.check(dataset)
    if augmentation != NO_AUGMENTATION:
        augmentation.check(dataset)
    first, files = first_step * batch_size, subject_files(prepared, subject_ids)
    for name, times in (repeats or {}).items():
        files += times * class_files(prepared, subject_ids, name) if times else []

    def records(name: str) -> tf.data.Dataset:
        shuffled = shuffled_records(files, derive_seed(seed, name), first)
        return shuffled.map(lambda record, tag: record)

    streams = {"record": records("registered")}
    if unpaired:
        drawn = ("images",) if dataset.one_image else dataset.channels
        streams["unpaired"] = tuple(records(name) for name in drawn)
    if random_maps is not None:
        if random_maps.labels is not None or random_maps.boxes is not None:
            dataset.check_label("random labels")
        random_maps = random_maps.as_tensors()
    base_seed = np.array([derive_seed(seed, "a"), derive_seed(seed, "b")], np.int32)

    def decode(element: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        example = parse_record(element["record"], dataset, prepared.size)
        example["seed"] = fold_in(base_seed, element["index"])
        _move(example, dataset, augmentation)
        if maps is not None:
            example["structure"], example["outside"] = cut_maps(example, maps, dataset)
        if unpaired:
            example["unpaired_images"] = _mix(element["unpaired"], prepared)
        if random_maps is not None:
            seed = fold_in(example["seed"], "random maps")
            example.update(_random_maps(random_maps, seed, prepared.size))
        return example

    return dealt_batches(streams, decode, first, batch_size, shard)


def _move(example: dict[str, tf.Tensor], dataset: DataSet, augmentation: Augmentation) -> None:
    """Exchanges images, label and boxes of an example for moved ones, each drawn by its seed."""
    images, seed = example["images"], example["seed"]
    # A class of the whole image is nowhere in it, and does not move.
    label = None if dataset.label_kind == IMAGE else example.get("label")
    example.update(zip(("images", "label"), augmented(images, label, seed, augmentation)))
    if dataset.label_kind == BOXES and augmentation != NO_AUGMENTATION:
        size = tf.shape(images)[:2]
        example["boxes"] = moved_boxes(example["boxes"], seed, augmentation, size)


def dealt_batches(
    streams: dict[str, Any],
    decode: Callable[[dict[str, Any]], dict[str, tf.Tensor]],
    first: int,
    batch_size: int,
    shard: tuple[int, int, int],
) -> tf.data.Dataset:
    """Returns endless streams, zipped, decoded and batched, or one pipeline's part of them.

    Args:
        streams: data sets by name, the first element of each belonging to example `first`.
        decode: from an element, with the example's number as `index`, to the example.
        first: number of the first example.
        batch_size: examples per step over all replicas.
        shard: as in `training_batches`.
    """
    index, pipelines, replicas = shard
    per_replica = batch_size // (pipelines * replicas)
    numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    dataset = tf.data.Dataset.zip({**streams, "index": numbers})
    if pipelines > 1:
        # Examples are dealt out before anything is decoded.
        dataset = dataset.filter(
            lambda example: (example["index"] // per_replica // replicas) % pipelines == index
        )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(per_replica, drop_remainder=True)
    # Otherwise several workers prepare for the end, with batches of unknown size.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


stateless_shuffle = tf.random.experimental.stateless_shuffle


class RecordFile(NamedTuple):
    """The records of one file that take part, such as the slices of a patient.

    Attributes:
        path: of the TFRecord file.
        keep: bool [records], which of them take part.
        tag: number that accompanies each of them.
    """

    path: Path
    keep: np.ndarray
    tag: int = 0


def subject_files(prepared: PreparedSlices, subject_ids: Iterable[str]) -> list[RecordFile]:
    """Returns the files of some subjects, each with all its slices."""
    return [RecordFile(path, np.ones(n, bool)) for path, n in _chosen(prepared, subject_ids)]


def class_files(
    prepared: PreparedSlices, subject_ids: Iterable[str], name: str
) -> list[RecordFile]:
    """Returns the files of those subjects who have the class `name`, with the slices that show it.

    Reads all slices of all subjects. Raises UserError if the data set has no such class.
    """
    wanted, files = prepared.dataset.class_number(name), []
    for path, _ in _chosen(prepared, subject_ids):
        records = tf.data.TFRecordDataset(str(path))
        labels = (parse_record(r, prepared.dataset, prepared.size)["label"] for r in records)
        file = RecordFile(path, np.array([(label.numpy() == wanted).any() for label in labels]))
        if file.keep.any():
            files.append(file)
    return files


def shuffled_records(files: Sequence[RecordFile], seed: int, first: int) -> tf.data.Dataset:
    """Returns pairs (serialized slice, tag), each epoch in a new seeded order.

    Args:
        files: with at least one record that takes part.
        seed: of the orders.
        first: number of records to skip; whole epochs are skipped without reading.
    """
    per_pass = sum(int(file.keep.sum()) for file in files)
    first_pass, offset = divmod(first, per_pass)
    offset = tf.constant(offset, tf.int64)
    read, window = _reader(files), _window(files)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        pass_seed = fold_in(tf.constant([seed, 0]), number)
        order = stateless_shuffle(tf.range(len(files)), pass_seed)
        records = tf.data.Dataset.from_tensor_slices(order)
        records = records.interleave(read, cycle_length=OPEN_FILES)

        # Not Dataset.shuffle: its order also depends on TensorFlow's global seed.
        def shuffle(window: tf.Tensor, content: tuple) -> tuple:
            rows = stateless_shuffle(tf.range(tf.size(content[0])), fold_in(pass_seed, window))
            return tuple(tf.gather(values, rows) for values in content)

        shuffled = records.batch(window).enumerate().map(shuffle)
        return shuffled.unbatch().skip(tf.where(number == first_pass, offset, 0))

    passes = tf.data.Dataset.range(first_pass, np.iinfo(np.int64).max)
    return passes.flat_map(one_pass)


def _window(files: Sequence[RecordFile]) -> int:
    """Returns how many records are shuffled together: a set of volumes never fits into memory."""
    largest = max(file.path.stat().st_size // max(len(file.keep), 1) for file in files)
    return max(1, min(SHUFFLE_WINDOW, WINDOW_BYTES // max(largest, 1)))


def _reader(files: Sequence[RecordFile]) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Returns the function from a file's number to its pairs (serialized slice, tag)."""
    paths = tf.constant([str(file.path) for file in files])
    tags = tf.constant([file.tag for file in files])
    keep = np.zeros([len(files), max(len(file.keep) for file in files)], bool)
    for row, file in zip(keep, files):
        row[: len(file.keep)] = file.keep
    everything = all(file.keep.all() for file in files)

    def read(number: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(paths[number])
        if not everything:
            chosen = tf.constant(keep)[number]
            records = records.enumerate().filter(lambda i, record: chosen[i])
            records = records.map(lambda i, record: record)
        return records.map(lambda record: (record, tags[number]))

    return read


def _chosen(prepared: PreparedSlices, subject_ids: Iterable[str]) -> list:
    wanted = set(subject_ids)
    rows = zip(prepared.subject_ids, prepared.files, prepared.slices_per_subject)
    return [(path, count) for name, path, count in rows if name in wanted]


def _random_maps(maps: RandomMaps, seed: tf.Tensor, size: tuple[int, int]) -> dict[str, tf.Tensor]:
    number = tf.random.stateless_uniform([], fold_in(seed, "map"), 0, len(maps.structure), tf.int32)
    outside = tf.cast(maps.outside[number], tf.float32)
    example = {
        "random_structure": tf.cast(maps.structure[number], tf.float32),
        "random_outside": outside,
    }
    if maps.labels is not None:
        example["random_label"] = _random_label(maps, outside, seed)
    if maps.boxes is not None:
        columns = maps.fitting.shape[1]
        column = tf.random.stateless_uniform([], fold_in(seed, "boxes"), 0, columns, tf.int32)
        boxes = maps.boxes[maps.fitting[number, column]]
        example.update(random_boxes=boxes, random_label=painted(boxes, size))
    return example


def _random_label(maps: RandomMaps, outside: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns a label int32 [H,W,1] that fits a mask [H,W,1], if labels have to."""
    tries = LABEL_CANDIDATES if maps.match else 1
    chosen = tf.random.stateless_uniform(
        [tries], fold_in(seed, "labels"), 0, len(maps.labels), tf.int32
    )
    candidates = tf.cast(tf.gather(maps.labels, chosen), tf.int32)
    if maps.augment:
        seeds = tf.random.split(fold_in(seed, "augmentation"), tries)
        candidates = tf.map_fn(
            lambda pair: augment_label(*pair), (candidates, seeds), fn_output_signature=tf.int32
        )
        candidates = tf.ensure_shape(candidates, [tries, *maps.labels.shape[1:]])
    return choose_fitting_label(candidates, outside)[0] if maps.match else candidates[0]


def _mix(records: tuple, prepared: PreparedSlices) -> tf.Tensor:
    """Returns [H,W,M] with modality i taken from the i-th record, or the one image of all."""
    slices = (parse_record(record, prepared.dataset, prepared.size) for record in records)
    images = [each["images"] for each in slices]
    if prepared.dataset.one_image:
        return images[0]
    return tf.stack([image[..., i] for i, image in enumerate(images)], axis=-1)


def evaluation_batches(
    prepared: PreparedSlices, subject_ids: Iterable[str], batch_size: int
) -> tf.data.Dataset:
    """Returns every slice of some subjects once, in order: `DataSet.keys` and `source`."""
    files = [str(path) for path, _ in _chosen(prepared, subject_ids)]
    records = tf.data.TFRecordDataset(files)
    dataset, size = prepared.dataset, prepared.size
    return records.map(lambda record: parse_record(record, dataset, size)).batch(batch_size)


def number_of_slices(prepared: PreparedSlices, subject_ids: Iterable[str]) -> int:
    """Returns how many prepared slices some subjects have."""
    return sum(count for _, count in _chosen(prepared, subject_ids))


def lesion_labels(prepared: PreparedSlices, subject_ids: Iterable[str]) -> np.ndarray:
    """Returns the labels that hold a lesion, uint8 [L,H,W,1] (0.3 GB for BRATS 2015).

    Raises UserError if there are none.
    """
    prepared.dataset.check_label("lesion labels")
    batches = evaluation_batches(prepared, subject_ids, 64)
    labels = [batch["label"].numpy().astype(np.uint8) for batch in batches]
    stacked = np.concatenate(labels)
    with_lesion = stacked[(stacked >= prepared.dataset.first_lesion).any(axis=(1, 2, 3))]
    if not len(with_lesion):
        raise UserError("No training slice has a lesion label; check the data and its label scheme")
    return with_lesion


def lesion_subjects(prepared: PreparedSlices, subject_ids: Iterable[str]) -> list[str]:
    """Returns, for each label of `lesion_labels` in order, the id of the subject it belongs to."""
    return _repeated(prepared, subject_ids, prepared.lesions_per_subject)


def slice_subjects(prepared: PreparedSlices, subject_ids: Iterable[str]) -> list[str]:
    """Returns, for each slice of `evaluation_batches` in order, the id of its subject."""
    return _repeated(prepared, subject_ids, prepared.slices_per_subject)


def _repeated(
    prepared: PreparedSlices, subject_ids: Iterable[str], counts: Iterable[int]
) -> list[str]:
    wanted, pairs = set(subject_ids), zip(prepared.subject_ids, counts)
    return [name for name, count in pairs if name in wanted for _ in range(count)]


def distributed(
    strategy: tf.distribute.Strategy,
    batch_size: int,
    make: Callable[..., tf.data.Dataset] = training_batches,
    **arguments: Any,
) -> Iterable[dict[str, tf.Tensor]]:
    """Returns `make(**arguments)` dealt out to the strategy's replicas."""

    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        pipelines = context.num_input_pipelines
        replicas = context.num_replicas_in_sync // pipelines
        shard = (context.input_pipeline_id, pipelines, replicas)
        return make(batch_size=batch_size, shard=shard, **arguments)

    return strategy.distribute_datasets_from_function(pipeline)

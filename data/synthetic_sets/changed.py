"""A synthetic set of changed labels: lesions of training patients, changed at random, and images.

It is of slices or of volumes.
The builder knows no network: it is handed a function that makes images of labels, and one that
scores them. A sample is a function of (seed, its number) alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Protocol

import numpy as np
from tqdm import tqdm

from data.contract import Place
from data.manipulation import random_change
from data.pipeline import evaluation_batches
from data.shards import PreparedSlices
from data.slice_sets import Slices
from data.synthetic_sets.files import (
    DONOR,
    PLACE,
    WHOLE,
    Background,
    Describe,
    Sample,
    Shard,
    array_path,
    holding,
    samples_there,
    write_manifest,
    write_samples,
)
from utils.errors import NOT_NEGATIVE, UserError, at_least, check_fields

READ_BATCH = 64
# label and index of N slices (or volumes) -> images [N,(D,)H,W,M]
RenderLabels = Callable[[Slices], np.ndarray]
# images [N,(D,)H,W,M], label [N,(D,)H,W] -> Dice of the whole lesion that a segmenter finds [N]
ScoreLesions = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ChangedConfig:
    """How a set of changed labels is drawn.

    Args:
        samples: number of samples (slices with all sequences).
        min_score: samples on which the segmenter's Dice of the whole lesion is less are marked as
            not selected; 0 = off.
    """

    samples: int = 1080
    min_score: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, "--dataset.", samples=at_least(1), min_score=NOT_NEGATIVE)


class ChangedLabel(NamedTuple):
    """The label of a training slice (or volume) with a changed lesion.

    Attributes:
        label: uint8 [(D,)H,W].
        height: number of the slice, see `data.contract.CaseSlices`.
        source: number of the slice among those of the training patients.
        donor: number of the slice whose lesion is in the label, -1 if none is.
        changes: what was done, see `data.manipulation.Change`.
        tries: how many slices were drawn before into which no lesion fits.
        place: where the source's volume lies, of a volume.
    """

    label: np.ndarray
    height: int
    source: int
    donor: int
    changes: str
    tries: int
    place: Optional[Place] = None


def training_labels(prepared: PreparedSlices, subject_ids: Iterable[str]) -> Slices:
    """Returns label uint8 [N,H,W], patients and heights of some subjects' slices.

    They stand in the order of the cache; `images` [N,H,W,0] is empty.
    """
    parts = [
        (batch["label"].numpy()[..., 0].astype(np.uint8), batch["source"].numpy())
        for batch in evaluation_batches(prepared, subject_ids, READ_BATCH)
    ]
    label, source = map(np.concatenate, zip(*parts))
    empty = np.zeros((*label.shape, 0), np.float32)
    return Slices(empty, label, subjects=source[:, 0], index=source[:, 1])


MOST_TRIES = 1000  # of which a patient with any lesion needs a few


def nothing_fits(remedy: str) -> UserError:
    """Returns the error of a set of labels in which no changed lesion fits."""
    return UserError(
        f"No changed lesion lay in its organ in {MOST_TRIES} tries, but every sample needs one; "
        f"{remedy}"
    )


class Changer(Protocol):
    """Draws changed labels of training patients."""

    def draw(self, rng: np.random.Generator) -> ChangedLabel:
        """Returns a label, a function of the random numbers alone."""


class LabelChanger:
    """Draws labels of random slices with changed lesions.

    Args:
        slices: with label, subjects and index, see `training_labels`.
        first_lesion: number of the first class of a lesion.
    """

    def __init__(self, slices: Slices, first_lesion: int):
        self.slices, self.first_lesion = slices, first_lesion
        self._lesions = (slices.label >= first_lesion).any(axis=(1, 2))

    def draw(self, rng: np.random.Generator) -> ChangedLabel:
        """Returns a label; donors are the slices of other patients at its height.

        A slice that no lesion fits into is drawn again.

        Raises UserError if none fitted into any.
        """
        slices = self.slices
        for tries in range(MOST_TRIES):
            row = int(rng.integers(len(slices)))
            near = self._lesions & (slices.index == slices.index[row])
            donors = np.flatnonzero(near & (slices.subjects != slices.subjects[row]))
            try:
                donated = list(slices.label[donors])
                change = random_change(slices.label[row], donated, rng, self.first_lesion)
            except UserError:  # no lesion, and no donor whose lesion lies in this brain
                continue
            donor = -1 if change.donor is None else int(donors[change.donor])
            label = change.label.astype(np.uint8)
            return ChangedLabel(label, int(slices.index[row]), row, donor, change.words, tries)
        raise nothing_fits("check the labels")


def drawn_batches(
    changer: Changer, numbers: Sequence[int], size: int, seed: int
) -> Iterator[tuple[Sequence[int], list[ChangedLabel]]]:
    """Yields up to `size` of some numbers, and the label of each: of (seed, number) alone."""
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        yield part, [changer.draw(np.random.default_rng((seed, number))) for number in part]


def as_slices(drawn: Sequence[ChangedLabel]) -> Slices:
    """Returns labels as slices (or volumes), with label and index; `images` [N,...,0] is empty."""
    label = np.stack([one.label for one in drawn])
    index = np.array([one.height for one in drawn])
    return Slices(np.zeros((*label.shape, 0), np.float32), label, index=index)


def build_changed_set(
    directory: Path,
    changer: Changer,
    render: RenderLabels,
    score: Optional[ScoreLesions],
    config: Any,
    batch_size: int,
    seed: int,
    notes: Mapping[str, str],
    describe: Describe,
    shard: Shard = WHOLE,
) -> Optional[dict[str, int]]:
    """Draws a set of changed labels, or one shard of it; returns the counts of rejections.

    Samples that are already there are kept, so a stopped build continues. Table, datasheet and
    manifest are written when all samples are there, by whomever; until then None is returned. A
    batch of samples is held at a time, whatever the size of the set.

    Args:
        directory: the data set's folder.
        changer: draws the labels.
        render, score: the trained networks; without a score all samples are selected.
        config: settings, with `samples`, and where there is a score, `min_score`.
        batch_size: slices that are drawn and written together.
        seed: of the data set.
        notes, describe: free text for the manifest, and what makes the datasheet of it.
        shard: the samples to draw.

    Raises UserError if another process draws the same samples, DiskFullError if one has no room.
    """
    with holding(directory, shard), Background() as background:
        there = samples_there(directory)
        missing = [number for number in shard.numbers(config.samples) if number not in there]
        with tqdm(total=len(missing), desc="Synthetic set", unit="sample") as bar:
            for numbers, drawn in drawn_batches(changer, missing, batch_size, seed):
                slices = as_slices(drawn)
                images = np.clip(render(slices), 0, 1).astype(np.float32)
                scores = score(images, slices.label).tolist() if score else [None] * len(images)
                samples = [
                    _sample(number, seed, one, image, dice, config)
                    for number, one, image, dice in zip(numbers, drawn, images, scores)
                ]
                background.run(partial(write_samples, directory, samples))
                bar.update(len(samples))
    return write_manifest(directory, asdict(config), seed, notes, describe)


def _sample(
    number: int,
    seed: int,
    drawn: ChangedLabel,
    image: np.ndarray,
    dice: Optional[float],
    config: Any,
) -> Sample:
    row = {
        "sample": number,
        "file": array_path(Path(), number).as_posix(),
        "seed": [seed, number],
        "label_source": drawn.source,
        DONOR: drawn.donor,
        "changes": drawn.changes,
        "slice": drawn.height,
        "score": dice,
        "selected": dice is None or dice >= config.min_score,
        "rejected": {"no fitting lesion": drawn.tries} if drawn.tries else {},
        **(dict(zip(PLACE, map(list, drawn.place))) if drawn.place else {}),
    }
    return row, {"images": image, "label": drawn.label}

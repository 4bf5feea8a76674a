"""Building a synthetic data set: random maps, matched labels, images.

The builder knows no network: it is handed functions, one that decodes seeds to maps and one that
turns maps and labels into images. A sample is a function of (seed, its number) alone, so that
processes can share the work (`data.synthetic_sets.files`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.structure_maps.filter import (
    ACCEPTED_ERROR,
    THIN,
    closed_contour_error,
    organ_pieces,
    thin_share,
)
from data.structure_maps.labels import augment_label, fits_inside
from data.synthetic_sets.files import (
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
from utils.seeding import derive_seed

# structure, outside [B,H,W,1], 0/1; score of the map discriminator [B], towards 1 = real
Maps = tuple[np.ndarray, np.ndarray, np.ndarray]
DecodeMaps = Callable[[np.ndarray], Maps]  # seeds int32 [B,2] -> maps
# structure, outside, label [B,H,W,1], seeds [B,2] -> images [B,H,W,4]
RenderImages = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# images [B,H,W,4], label [B,H,W,1] -> mean whole-tumour Dice of the segmenters [B]
ScoreImages = Callable[[np.ndarray, np.ndarray], np.ndarray]
LABEL_CHUNK = 10
MAP_ROUNDS = 100  # accepted maps of a sample without a fitting label before the build gives up


@dataclass(frozen=True)
class SyntheticConfig:
    """How a synthetic data set is drawn.

    Args:
        samples: number of samples (slices with four modalities).
        batch_size: samples per forward pass.
        max_contour_error: a map is taken when filling its contours gives its mask up to this
            mean absolute error (Algorithm 3).
        min_map_score: a map is also taken, whatever its contours, when D_s' mean patch score is
            this or more; None = off. The released script has 0.55.
        compact_organ: also reject maps whose organ has more than one piece or thin parts that
            stick out, whatever their score; not in the thesis.
        map_retries: new draws before the map with the smallest error is taken after all.
        label_tries: labels tried for a map before the map is dropped.
        augment_labels: apply two random operations to every label.
        min_dice: samples on which the segmenters' whole-tumour Dice is less are marked as not
            selected; 0 = off. The paper has 0.95, of the label-index Dice.
    """

    samples: int = 2000
    batch_size: int = 8
    max_contour_error: float = ACCEPTED_ERROR
    min_map_score: Optional[float] = None
    compact_organ: bool = False
    map_retries: int = 50
    label_tries: int = 100
    augment_labels: bool = True
    min_dice: float = 0.95

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("samples", "batch_size", "label_tries"), at_least(1))
        limits = dict.fromkeys(("max_contour_error", "min_dice"), NOT_NEGATIVE)
        check_fields(self, "--dataset.", **counts, **limits, map_retries=at_least(0))


class BestMap(NamedTuple):
    """A map [H,W,1] and what is wrong with it; the lower the first two, the better the map."""

    flawed: bool = True
    contour_error: float = np.inf
    structure: Optional[np.ndarray] = None
    outside: Optional[np.ndarray] = None


@dataclass
class Draft:
    """One sample on its way: its number, how often it was drawn, the best map so far, its label.

    `after_retries` tells whether that map was taken without passing the filter; `label` is uint8
    [H,W,1], and `label_source` its number among the real ones, once a label fits.
    """

    number: int
    attempt: int = 0
    since_label: int = 0
    best: BestMap = BestMap()
    after_retries: bool = False
    label: Optional[np.ndarray] = None
    label_source: int = -1
    rejected: Counter = field(default_factory=Counter)


class MapSampler:
    """Draws random maps until they pass Algorithm 3, or D_s if its score counts.

    Args:
        decode: from seeds to maps; always called with `config.batch_size` rows.
        config: thresholds and retries.
        seed: of the data set.
    """

    def __init__(self, decode: DecodeMaps, config: SyntheticConfig, seed: int):
        self.decode = decode
        self.config = config
        self.seed = seed

    def seeds(self, drafts: Sequence[Draft]) -> np.ndarray:
        """Returns one seed per draft and attempt, padded to the batch size: int32 [B,2]."""
        rows = [
            [derive_seed(self.seed, "map", d.number, d.attempt, part) for part in "ab"]
            for d in drafts
        ]
        rows += [[0, 0]] * (self.config.batch_size - len(rows))
        return np.array(rows, np.int32)

    def draw(self, drafts: Sequence[Draft]) -> list[bool]:
        """Draws a map for each of at most `batch_size` drafts; returns which are settled."""
        maps = zip(*self.decode(self.seeds(drafts)))
        return [self._judge(draft, *one) for draft, one in zip(drafts, maps)]

    def _judge(
        self, draft: Draft, structure: np.ndarray, outside: np.ndarray, score: float
    ) -> bool:
        config = self.config
        error = closed_contour_error(structure[..., 0], outside[..., 0])
        flaw = self._flaw(outside[..., 0])
        convincing = config.min_map_score is not None and score >= config.min_map_score
        passed = not flaw and (error <= config.max_contour_error or convincing)
        draft.attempt += 1
        draft.since_label += 1
        if passed or (bool(flaw), error) < draft.best[:2]:
            maps = structure.astype(np.uint8), outside.astype(np.uint8)
            draft.best = BestMap(bool(flaw), error, *maps)
        draft.after_retries = not passed and draft.since_label > config.map_retries
        if not passed:
            draft.rejected[flaw or "open contour"] += 1
        return passed or draft.after_retries

    def _flaw(self, outside: np.ndarray) -> str:
        """Returns why a mask [H,W] is unusable whatever its map looks like, or ""."""
        pieces = organ_pieces(outside)
        if pieces == 0:
            return "no organ"
        if self.config.compact_organ and pieces > 1:
            return "more than one organ"
        return "thin parts" if self.config.compact_organ and thin_share(outside) > THIN else ""


def random_maps(
    decode: DecodeMaps, count: int, config: SyntheticConfig, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns filtered maps, and how many of them were taken after all retries without passing.

    structure and outside are uint8 [count,H,W,1].
    """
    sampler = MapSampler(decode, config, seed)
    drafts = _settle(range(count), count, sampler.draw, config.batch_size, "Random maps")
    done = sorted(drafts, key=lambda draft: draft.number)
    maps = [np.stack([getattr(d.best, name) for d in done]) for name in ("structure", "outside")]
    return (*maps, sum(d.after_retries for d in done))


def _settle(
    numbers: Iterable[int],
    total: int,
    step: Callable[[Sequence[Draft]], list[bool]],
    size: int,
    title: str,
) -> Iterator[Draft]:
    """Repeats `step` on batches of drafts and yields each when it is settled.

    Only a batch of them is held, whatever the size of the set.

    Args:
        numbers: numbers of the samples, in the order in which they are begun.
        total: number of samples.
        step: function that returns for every draft of a batch whether it is settled.
        size: batch size.
        title: title of the progress bar.
    """
    waiting, batch = (Draft(number) for number in numbers), []
    with tqdm(total=total, desc=title, unit="sample") as bar:
        while batch := [*batch, *itertools.islice(waiting, size - len(batch))]:
            verdicts = step(batch)
            yield from (draft for draft, done in zip(batch, verdicts) if done)
            batch = [draft for draft, done in zip(batch, verdicts) if not done]
            bar.update(sum(verdicts))


class LabelSampler:
    """Draws real lesion labels that lie inside a random map's organ (Algorithm 4 of the thesis).

    Args:
        labels: uint8 [L,H,W,1], each with a lesion.
        config: number of tries, augmentation.
        seed: of the data set.
    """

    def __init__(self, labels: np.ndarray, config: SyntheticConfig, seed: int):
        self.labels = labels
        self.config = config
        self.seed = seed

    def match(self, draft: Draft) -> bool:
        """Gives a draft a label that fits its map; without one its map is dropped.

        Raises UserError if `MAP_ROUNDS` maps of the draft have been dropped.
        """
        label, draft.label_source = self.draw(draft)
        if draft.label_source >= 0:
            draft.label = label
            return True
        draft.rejected["no fitting label"] += 1
        if draft.rejected["no fitting label"] >= MAP_ROUNDS:
            raise UserError(
                f"No lesion label fits inside any of {MAP_ROUNDS} random maps of synthetic sample "
                f"{draft.number}; the masks are too small, train the stage structure longer"
            )
        draft.best, draft.since_label = Draft.best, 0
        return False

    def draw(self, draft: Draft) -> tuple[np.ndarray, int]:
        """Returns (label uint8 [H,W,1], number of its source); source -1 if none fits."""
        key = derive_seed(self.seed, "label", draft.number, draft.attempt)
        for first in range(0, self.config.label_tries, LABEL_CHUNK):
            rng = np.random.default_rng([key, first])
            sources = rng.integers(len(self.labels), size=LABEL_CHUNK)
            label, index = _first_fitting(
                self.labels[sources].astype(np.int32),
                draft.best.outside,
                np.int32([key, first]),
                np.int32(self.config.label_tries - first),
                self.config.augment_labels,
            )
            if index >= 0:
                return label.numpy().astype(np.uint8), int(sources[index])
        return np.zeros_like(self.labels[0]), -1


@tf.function(autograph=False)
def _first_fitting(
    labels: tf.Tensor, outside: tf.Tensor, seed: tf.Tensor, tries: tf.Tensor, augment: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first usable label of int32 labels [K,H,W,1] and its index; -1 if none is usable.

    Later labels are not augmented, because augmentation takes longer than all other steps.
    """
    seeds = tf.random.split(seed, LABEL_CHUNK)

    def try_next(index, *_):
        label = labels[index + 1]
        label = augment_label(label, seeds[index + 1]) if augment else label
        usable = tf.reduce_any(label > 0) & fits_inside(label, outside)
        return index + 1, usable, tf.ensure_shape(label, labels.shape[1:])

    index, found, label = tf.while_loop(
        lambda index, found, _: ~found & (index + 1 < tf.minimum(tries, LABEL_CHUNK)),
        try_next,
        (-1, False, tf.zeros_like(labels[0])),
    )
    return label, tf.where(found, index, -1)


def build_synthetic_set(
    directory: Path,
    decode: DecodeMaps,
    render: RenderImages,
    labels: np.ndarray,
    config: SyntheticConfig,
    seed: int,
    score: ScoreImages,
    notes: Mapping[str, str],
    describe: Describe,
    shard: Shard = WHOLE,
) -> Optional[dict[str, int]]:
    """Draws a synthetic data set, or one shard of it; returns the counts of rejections by reason.

    Samples that are already there are kept, so a stopped build continues. Table, datasheet and
    manifest are written when all samples are there, by whomever; until then None is returned.

    Args:
        directory: the data set's folder.
        decode, render: the trained networks.
        labels: real lesion labels, uint8 [L,H,W,1].
        config: settings.
        seed: of the data set.
        score: Dice of the segmenters, for selection.
        notes, describe: free text for the manifest, and what makes the datasheet of it.
        shard: the samples to draw.

    Raises UserError if no label fits inside the masks or another process draws the same samples,
    DiskFullError if a sample has no room.
    """
    maps, matcher = MapSampler(decode, config, seed), LabelSampler(labels, config, seed)
    directory = Path(directory)
    with holding(directory, shard), Background() as background:
        renderer = _Renderer(directory, maps.seeds, render, score, config, background)

        def step(drafts: Sequence[Draft]) -> list[bool]:
            settled = maps.draw(drafts)
            ready = [done and matcher.match(draft) for draft, done in zip(drafts, settled)]
            for draft, done in zip(drafts, ready):
                if done:
                    renderer.add(draft)
            return ready

        there, own = samples_there(directory), shard.numbers(config.samples)
        missing = (number for number in own if number not in there)
        total = len(own) - sum(number in own for number in there)
        for _ in _settle(missing, total, step, config.batch_size, "Synthetic set"):
            pass
        renderer.finish()
    return write_manifest(directory, asdict(config), seed, notes, describe)


class _Renderer:
    """Collects settled drafts into whole batches, renders them, and writes them in background."""

    def __init__(
        self,
        directory: Path,
        seeds: Callable[[Sequence[Draft]], np.ndarray],
        render: RenderImages,
        score: ScoreImages,
        config: SyntheticConfig,
        background: Background,
    ):
        self.directory = directory
        self.seeds = seeds
        self.render = render
        self.score = score
        self.config = config
        self.background = background
        self.waiting: list[Draft] = []

    def add(self, draft: Draft) -> None:
        self.waiting.append(draft)
        if len(self.waiting) == self.config.batch_size:
            self.finish()

    def finish(self) -> None:
        """Renders the remaining drafts, at most one batch."""
        drafts, self.waiting = self.waiting, []
        if not drafts:
            return
        # Networks always see whole batches: of another size they may round differently.
        rows = drafts + [drafts[-1]] * (self.config.batch_size - len(drafts))
        maps = [[getattr(d.best, name) for d in rows] for name in ("structure", "outside")]
        structure, outside, label = map(np.stack, [*maps, [d.label for d in rows]])
        seeds = self.seeds(drafts)
        images = self.render(structure, outside, label, seeds)
        dice = self.score(images, label)
        samples = [self._sample(*one) for one in zip(drafts, seeds, images, dice)]
        self.background.run(lambda: write_samples(self.directory, samples))

    def _sample(self, draft: Draft, seed: np.ndarray, images: np.ndarray, dice: float) -> Sample:
        row = {
            "sample": draft.number,
            "file": array_path(Path(), draft.number).as_posix(),
            "seed": [int(part) for part in seed],
            "map_draws": draft.attempt,
            "contour_error": draft.best.contour_error,
            "accepted_after_retries": draft.after_retries,
            "label_source": draft.label_source,
            "dice": float(dice),
            "selected": bool(dice >= self.config.min_dice),
            "rejected": dict(draft.rejected),
        }
        arrays = {
            "images": images.astype(np.float32),
            "label": draft.label[..., 0],
            "structure": draft.best.structure[..., 0],
            "outside": draft.best.outside[..., 0],
        }
        return row, arrays

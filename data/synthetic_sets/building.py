"""Building a synthetic data set: random maps, matched labels, images.

The builder knows no network: it is handed functions, one that decodes seeds to maps and one that
turns maps and labels into images. A sample is a function of (seed, its number) alone, so that
processes can share the work (`data.synthetic_sets.files`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Optional

import numpy as np
from tqdm import tqdm

from data.structure_maps.filter import (
    ACCEPTED_ERROR,
    THIN,
    closed_contour_error,
    organ_pieces,
    thin_share,
    without_holes,
)
from data.synthetic_sets.drafts import BestMap, Draft, LabelSource, Matcher
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
from utils.errors import NOT_NEGATIVE, at_least, check_fields
from utils.seeding import derive_seed

# structure, outside [B,H,W,K], 0/1; score of the map discriminator [B], towards 1 = real
Maps = tuple[np.ndarray, np.ndarray, np.ndarray]
DecodeMaps = Callable[[np.ndarray], Maps]  # seeds int32 [B,2] -> maps
# structure, outside [B,H,W,K], labels [B,...] (or None), seeds [B,2] -> images [B,H,W,M]
RenderImages = Callable[[np.ndarray, np.ndarray, Optional[np.ndarray], np.ndarray], np.ndarray]
# images [B,H,W,M], labels [B,...] -> how well each image shows its label [B], towards 1
ScoreImages = Callable[[np.ndarray, Optional[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class SyntheticConfig:
    """How a synthetic data set is drawn.

    Args:
        samples: number of samples (slices with all modalities).
        batch_size: samples per forward pass.
        max_contour_error: a map is taken when filling its contours gives its mask up to this
            mean absolute error (Algorithm 3).
        min_map_score: a map is also taken, whatever its contours, when D_s' mean patch score is
            this or more; None = off. The released script has 0.55.
        compact_organ: also reject maps whose organ has more than one piece or thin parts that
            stick out, whatever their score; not in the thesis.
        fill_organ: judge the organ with what it encloses, such as the lungs of a body in CT, which
            are as dark as the air around it.
        map_retries: new draws before the map with the smallest error is taken after all.
        label_tries: labels tried for a map before the map is dropped.
        augment_labels: apply two random operations to every label.
        min_score: samples whose score is less are marked as not selected; 0 = off. The score is
            the segmenters' whole-tumour Dice; of a class, the classifier's probability of it; of
            boxes, the share that the detector finds. The paper has 0.95, of the label-index Dice.
    """

    samples: int = 2000
    batch_size: int = 8
    max_contour_error: float = ACCEPTED_ERROR
    min_map_score: Optional[float] = None
    compact_organ: bool = False
    fill_organ: bool = False
    map_retries: int = 50
    label_tries: int = 100
    augment_labels: bool = True
    min_score: float = 0.95

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("samples", "batch_size", "label_tries"), at_least(1))
        limits = dict.fromkeys(("max_contour_error", "min_score"), NOT_NEGATIVE)
        check_fields(self, "--dataset.", **counts, **limits, map_retries=at_least(0))


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
        middle = structure.shape[-1] // 2  # of several maps, that of the slice itself
        flaw, error = judged_map(structure[..., middle], outside[..., middle], config)
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


def judged_map(
    structure: np.ndarray, outside: np.ndarray, config: SyntheticConfig
) -> tuple[str, float]:
    """Returns why a mask is unusable whatever its map looks like, or "", and the contour error.

    Args:
        structure: [H,W], 0/1, the map.
        outside: [H,W], 0/1, its mask.
        config: what is asked of maps.
    """
    organ = without_holes(outside) if config.fill_organ else outside
    pieces, flaw = organ_pieces(organ), ""
    if pieces == 0:
        flaw = "no organ"
    elif config.compact_organ and pieces > 1:
        flaw = "more than one organ"
    elif config.compact_organ and thin_share(organ) > THIN:
        flaw = "thin parts"
    return flaw, closed_contour_error(structure, organ)


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
    with tqdm(total=total, desc=title, unit="sample", disable=total < 2) as bar:
        while batch := [*batch, *itertools.islice(waiting, size - len(batch))]:
            verdicts = step(batch)
            yield from (draft for draft, done in zip(batch, verdicts) if done)
            batch = [draft for draft, done in zip(batch, verdicts) if not done]
            bar.update(sum(verdicts))


def build_synthetic_set(
    directory: Path,
    decode: DecodeMaps,
    render: RenderImages,
    labels: LabelSource,
    config: SyntheticConfig,
    seed: int,
    score: Optional[ScoreImages],
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
        labels: makes what gives drafts their labels from (settings, seed of the set).
        config: settings.
        seed: of the data set.
        score: for selection; None = samples have no score and all are selected.
        notes, describe: free text for the manifest, and what makes the datasheet of it.
        shard: the samples to draw.

    Raises UserError if no label fits inside the masks or another process draws the same samples,
    DiskFullError if a sample has no room.
    """
    maps, matcher = MapSampler(decode, config, seed), labels(config, seed)
    directory = Path(directory)
    with holding(directory, shard), Background() as background:
        renderer = _Renderer(directory, maps.seeds, matcher, render, score, config, background)

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
        matcher: Matcher,
        render: RenderImages,
        score: Optional[ScoreImages],
        config: SyntheticConfig,
        background: Background,
    ):
        self.directory = directory
        self.seeds = seeds
        self.matcher = matcher
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
        structure, outside = map(np.stack, maps)
        labels = None if drafts[0].label is None else np.stack([d.label for d in rows])
        seeds = self.seeds(drafts)
        images = self.render(structure, outside, labels, seeds)
        scores = self.score(images, labels) if self.score else np.full(len(images), np.nan)
        samples = [self._sample(*one) for one in zip(drafts, seeds, images, scores)]
        self.background.run(lambda: write_samples(self.directory, samples))

    def _sample(self, draft: Draft, seed: np.ndarray, images: np.ndarray, score: float) -> Sample:
        row = {
            "sample": draft.number,
            "file": array_path(Path(), draft.number).as_posix(),
            "seed": [int(part) for part in seed],
            "map_draws": draft.attempt,
            "contour_error": draft.best.contour_error,
            "accepted_after_retries": draft.after_retries,
            "label_source": draft.label_source,
            "score": None if np.isnan(score) else float(score),
            "selected": not score < self.config.min_score,
            "rejected": dict(draft.rejected),
        }
        arrays = {
            "images": images.astype(np.float32),
            **self.matcher.arrays(draft, images.shape[:2]),
            "structure": without_axis(draft.best.structure),
            "outside": without_axis(draft.best.outside),
        }
        return row, arrays


def without_axis(maps: np.ndarray) -> np.ndarray:
    """Returns maps [H,W,K] as they are stored: a single one as [H,W]."""
    return maps[..., 0] if maps.shape[-1] == 1 else maps

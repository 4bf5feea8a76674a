"""Building and reading a synthetic data set: random maps, matched labels, images, manifest.

The builder knows no network: it is handed two functions, one that decodes seeds to maps and one
that turns maps and labels into images. A sample is a function of (seed, its number) alone.

    synthetic/manifest.json     settings, seed, counts of what was rejected and why, and of the
                                samples whose map was taken after all retries without passing
    synthetic/samples.csv       one row per sample
    synthetic/samples/*.npz     images [H,W,4] float32, label, structure, outside [H,W] uint8
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from data.labels import augment_label, fits_inside
from data.map_filter import ACCEPTED_ERROR, THIN, closed_contour_error, organ_pieces, thin_share
from utils.errors import NOT_NEGATIVE, UserError, at_least, check_fields
from utils.files import read_json, remove_leftovers, replacing, write_json, write_text
from utils.seeding import derive_seed

# structure, outside [B,H,W,1], 0/1; score of the map discriminator [B], towards 1 = real
Maps = tuple[np.ndarray, np.ndarray, np.ndarray]
DecodeMaps = Callable[[np.ndarray], Maps]  # seeds int32 [B,2] -> maps
# structure, outside, label [B,H,W,1], seeds [B,2] -> images [B,H,W,4]
RenderImages = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
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
            selected; 0 = off. The paper has 0.95, of the index Dice.
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
    """One sample on its way: its number, how often it was drawn, and the best map so far.

    `after_retries` tells whether that map was taken without passing the filter.
    """

    number: int
    attempt: int = 0
    since_label: int = 0
    best: BestMap = BestMap()
    after_retries: bool = False
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
    done = _settle([Draft(i) for i in range(count)], sampler.draw, config.batch_size, "Random maps")
    maps = [np.stack([getattr(d.best, name) for d in done]) for name in ("structure", "outside")]
    return (*maps, sum(d.after_retries for d in done))


def _settle(
    drafts: list[Draft], step: Callable[[Sequence[Draft]], list[bool]], size: int, title: str
) -> list[Draft]:
    """Repeats `step` on batches of open drafts until all are settled; returns them in order."""
    open_drafts, settled = list(drafts), []
    with tqdm(total=len(drafts), desc=title, unit="sample") as bar:
        while open_drafts:
            batch = open_drafts[:size]
            verdicts = step(batch)
            settled += [d for d, accepted in zip(batch, verdicts) if accepted]
            again = [d for d, accepted in zip(batch, verdicts) if not accepted]
            open_drafts = again + open_drafts[size:]
            bar.update(sum(verdicts))
    return sorted(settled, key=lambda d: d.number)


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

    def draw(self, draft: Draft) -> tuple[np.ndarray, int]:
        """Returns (label uint8 [H,W,1], number of its source); source -1 if none fits."""
        key = derive_seed(self.seed, "label", draft.number, draft.attempt)
        for first in range(0, self.config.label_tries, LABEL_CHUNK):
            rng = np.random.default_rng([key, first])
            sources = rng.integers(len(self.labels), size=LABEL_CHUNK)
            candidates = self.labels[sources].astype(np.int32)
            if self.config.augment_labels:
                candidates = _augment(candidates, np.int32([key, first])).numpy()
            usable = fits_inside(candidates, draft.best.outside[None]).numpy()
            usable &= candidates.any(axis=(1, 2, 3))
            tried = min(LABEL_CHUNK, self.config.label_tries - first)
            if usable[:tried].any():
                chosen = int(np.argmax(usable))
                return candidates[chosen].astype(np.uint8), int(sources[chosen])
        return np.zeros_like(self.labels[0]), -1


@tf.function
def _augment(labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    seeds = tf.random.split(seed, LABEL_CHUNK)
    return tf.map_fn(
        lambda pair: augment_label(*pair), (labels, seeds), fn_output_signature=tf.int32
    )


def build_synthetic_set(
    directory: Path,
    decode: DecodeMaps,
    render: RenderImages,
    labels: np.ndarray,
    config: SyntheticConfig,
    seed: int,
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
    notes: Mapping[str, str],
) -> dict[str, int]:
    """Writes a synthetic data set; returns the counts of rejections by reason.

    Samples that are already there are kept, so a stopped build continues.

    Args:
        directory: the data set's folder.
        decode, render: the trained networks.
        labels: real lesion labels, uint8 [L,H,W,1].
        config: settings.
        seed: of the data set.
        score: (images [B,H,W,4], label [B,H,W,1]) -> Dice of the segmenters [B], for selection.
        notes: free text for the manifest, e.g. whether the training data was the phantom.

    Raises UserError if no label fits inside the masks, DiskFullError if a sample has no room.
    """
    maps, matcher = MapSampler(decode, config, seed), LabelSampler(labels, config, seed)
    folder = Path(directory) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)

    def step(drafts: Sequence[Draft]) -> list[bool]:
        ready, verdicts = [], []
        for draft, settled in zip(drafts, maps.draw(drafts)):
            label, source = matcher.draw(draft) if settled else (None, -1)
            if settled and source < 0:
                draft.rejected["no fitting label"] += 1
                _check_rounds(draft)
                draft.best, draft.since_label = Draft.best, 0
            verdicts.append(source >= 0)
            if source >= 0:
                ready.append((draft, label, source))
        if ready:
            _write_samples(folder, ready, maps.seeds([d for d, *_ in ready]), render, score, config)
        return verdicts

    numbers = [i for i in range(config.samples) if not _row_path(folder, i).exists()]
    _settle([Draft(i) for i in numbers], step, config.batch_size, "Synthetic set")
    return _write_manifest(Path(directory), config, seed, notes)


def _check_rounds(draft: Draft) -> None:
    if draft.rejected["no fitting label"] >= MAP_ROUNDS:
        raise UserError(
            f"No lesion label fits inside any of {MAP_ROUNDS} random maps of synthetic sample "
            f"{draft.number}; the masks are too small, train the stage structure longer"
        )


def _write_samples(folder, ready, seeds, render, score, config: SyntheticConfig) -> None:
    missing = config.batch_size - len(ready)
    stack = [
        np.stack([getattr(d.best, name) for d, *_ in ready]) for name in ("structure", "outside")
    ]
    stack.append(np.stack([label for _, label, _ in ready]))
    padded = [np.pad(array, [(0, missing)] + [(0, 0)] * 3, mode="edge") for array in stack]
    images = render(*padded, seeds)[: len(ready)]
    dice = score(images, stack[2])
    for i, (draft, label, source) in enumerate(ready):
        with replacing(_array_path(folder, draft.number)) as temporary:
            np.savez_compressed(
                temporary,
                images=images[i].astype(np.float32),
                label=label[..., 0],
                structure=draft.best.structure[..., 0],
                outside=draft.best.outside[..., 0],
            )
        row = {
            "sample": draft.number,
            "file": f"samples/{_array_path(folder, draft.number).name}",
            "seed": [int(part) for part in seeds[i]],
            "map_draws": draft.attempt,
            "contour_error": draft.best.contour_error,
            "accepted_after_retries": draft.after_retries,
            "label_source": source,
            "dice": float(dice[i]),
            "selected": bool(dice[i] >= config.min_dice),
            "rejected": dict(draft.rejected),
        }
        write_json(_row_path(folder, draft.number), row)  # last: marks the sample as complete


def _array_path(folder: Path, number: int) -> Path:
    return folder / f"synthetic_{number:06d}.npz"


def _row_path(folder: Path, number: int) -> Path:
    return folder / f"synthetic_{number:06d}.json"


def _write_manifest(
    directory: Path, config: SyntheticConfig, seed: int, notes: Mapping[str, str]
) -> dict[str, int]:
    rows = [read_json(_row_path(directory / "samples", i)) for i in range(config.samples)]
    rejected: Counter = Counter()
    for row in rows:
        rejected.update(row.pop("rejected"))
    rejected["dice below threshold"] = sum(not row["selected"] for row in rows)
    table = pd.DataFrame(rows)
    write_text(directory / "samples.csv", table.to_csv(index=False))
    counts = {reason: int(count) for reason, count in sorted(rejected.items())}
    write_json(
        directory / "manifest.json",
        {
            **notes,
            "settings": asdict(config),
            "seed": seed,
            "samples": len(rows),
            "selected": int(table["selected"].sum()),
            "accepted_after_retries": int(table["accepted_after_retries"].sum()),
            "rejected": counts,
        },
    )
    return counts


def read_synthetic_set(directory: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yields the samples of a finished set in order: images, label, structure, outside.

    images is float32 [H,W,4]; the others are uint8 [H,W].

    Raises UserError if the set is not complete.
    """
    manifest = Path(directory) / "manifest.json"
    if not manifest.exists():
        raise UserError(
            f"{directory} is not a finished synthetic set (no manifest.json); run stage dataset"
        )
    for number in range(read_json(manifest)["samples"]):
        path = _array_path(Path(directory) / "samples", number)
        with np.load(path, allow_pickle=False) as arrays:
            yield {name: arrays[name] for name in arrays.files}

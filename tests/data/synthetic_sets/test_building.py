from __future__ import annotations

import csv
import functools
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from data.synthetic_sets import building, matching
from data.synthetic_sets.building import SyntheticConfig, build_synthetic_set, random_maps
from data.synthetic_sets.drafts import BestMap, Draft
from data.synthetic_sets.files import UNLABELLED, read_synthetic_set
from data.synthetic_sets.matching import EveryClass, FittingLabels, NoLabels
from utils.errors import UserError
from utils.seeding import derive_seed

SIZE = 24
CONFIG = SyntheticConfig(
    samples=3, batch_size=1, map_retries=2, label_tries=20, augment_labels=False
)


def organ(kind: str, first: int = 4, last: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A square organ whose outline is closed, broken in the middle, or absent; or no organ."""
    structure, outside = np.zeros((SIZE, SIZE, 1)), np.ones((SIZE, SIZE, 1))
    if kind != "none":
        outside[first - 1 : last + 1, first - 1 : last + 1] = 0  # the outline lies just inside
        structure[first:last, first:last] = 1
        structure[first + 1 : last - 1, first + 1 : last - 1] = 0
    if kind == "broken":
        structure[first + 3 : last - 3] = 0  # top and bottom are left
    if kind == "half":
        structure[(first + last) // 2 :] = 0  # an arch
        structure[(first + last) // 2, first:last] = 1  # closed below: half of the organ
    return structure, outside


class Decoder:
    """Hands out maps in a fixed order, one call at a time, and remembers the seeds."""

    def __init__(self, *maps, scores=()):
        self.maps = list(maps)
        self.scores = list(scores) or [0.0] * len(maps)
        self.seeds = []

    def __call__(self, seeds):
        self.seeds.append(seeds.tolist())
        structure, outside = self.maps.pop(0)
        return structure[None], outside[None], np.float32([self.scores.pop(0)])


def decode_seeds(seeds):
    """Maps as a function of the seed: a third broken, a third small, a third large."""
    kinds = [organ("broken"), organ("closed", 9, 15), organ("closed")]
    chosen = [kinds[seed[0] % 3] for seed in seeds]
    return *(np.stack(part) for part in zip(*chosen)), np.zeros(len(seeds), np.float32)


def render(structure, outside, label, seeds):
    """The four modalities are the map, the mask, the label and the seed."""
    number = np.broadcast_to((seeds[:, :1, None, None] % 100) / 100, structure.shape)
    return np.concatenate([structure, outside, label / 4, number], axis=-1).astype(np.float32)


def labels() -> np.ndarray:
    """Label 0 fits the large organ only, label 1 fits both, label 2 none."""
    found = np.zeros((3, SIZE, SIZE, 1), np.uint8)
    found[0, 6:18, 6:18], found[1, 11:13, 10:14], found[2, 0:6, 0:6] = 2, 4, 1
    return found


def build(folder: Path, config: SyntheticConfig = CONFIG, decode=decode_seeds, **changes) -> dict:
    arguments = {
        "render": render,
        "labels": labels(),
        "seed": 5,
        "score": lambda images, label: np.ones(len(images)),
        "notes": {"training data": "phantom"},
        "describe": lambda manifest: f"{manifest['samples']} samples\n",
        **changes,
    }
    if isinstance(arguments["labels"], np.ndarray):
        arguments["labels"] = functools.partial(FittingLabels, arguments["labels"])
    return build_synthetic_set(folder, decode, config=config, **arguments)


def rows(folder: Path) -> list[dict]:
    with (folder / "samples.csv").open() as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_only_closed_maps_are_taken():
    decoder = Decoder(*(organ(kind) for kind in ("closed", "broken", "none", "closed", "closed")))
    structure, outside, _ = random_maps(decoder, 3, CONFIG, 0)
    assert structure.dtype == outside.dtype == np.uint8 and not decoder.maps
    for found, expected in zip((structure, outside), organ("closed")):
        np.testing.assert_array_equal(found, np.stack([expected] * 3))
    draws = [tuple(seed) for (seed,) in decoder.seeds]
    assert len(set(draws)) == 5


def test_the_limit_of_the_error_decides():
    # Rows 14..20 of the mask's 18 columns lie below the arch.
    half = organ("half")
    missing = 7 * 18 / SIZE**2
    strict, loose = (replace(CONFIG, max_contour_error=missing + d) for d in (-1e-6, 1e-6))
    structure, *_ = random_maps(Decoder(half), 1, loose, 0)
    np.testing.assert_array_equal(structure[0], half[0])
    structure, *_ = random_maps(Decoder(half, organ("closed")), 1, strict, 0)
    np.testing.assert_array_equal(structure[0], organ("closed")[0])


def test_after_all_retries_the_best_map_is_taken(tmp_path):
    decoder = Decoder(organ("broken"), organ("half"), organ("broken"))
    counts = build(tmp_path, replace(CONFIG, samples=1), decoder)
    assert counts == {"score below threshold": 0, "open contour": 3}
    assert json.loads((tmp_path / "manifest.json").read_text())["accepted_after_retries"] == 1
    (sample,) = read_synthetic_set(tmp_path)
    np.testing.assert_array_equal(sample["structure"], organ("half")[0][..., 0])
    (row,) = rows(tmp_path)
    assert (row["map_draws"], row["accepted_after_retries"]) == ("3", "True")


def test_a_map_that_convinces_the_discriminator_is_taken_with_open_contours(monkeypatch):
    monkeypatch.setattr(building, "THIN", 0.5)  # the corners of square organs are thin
    empty, half, broken = organ("none"), organ("half"), organ("broken")
    config = replace(CONFIG, min_map_score=0.5, map_retries=9)
    # No organ counts as no map; the arch is closer to a closed outline than what is taken.
    decoder = Decoder(empty, half, broken, organ("closed"), scores=[0.9, 0.4, 0.5, 0.9])
    structure, outside, _ = random_maps(decoder, 1, config, 0)
    np.testing.assert_array_equal(structure[0], broken[0])
    np.testing.assert_array_equal(outside[0], broken[1])
    structure, *_ = random_maps(Decoder(organ("closed"), scores=[-1.0]), 1, config, 0)
    np.testing.assert_array_equal(structure[0], organ("closed")[0])
    pieces = organ("closed", 3, 9)[0], np.minimum(organ("closed", 3, 9)[1], organ("x", 14, 20)[1])
    decoder = Decoder(pieces, broken, scores=[0.9, 0.9])
    structure, *_ = random_maps(decoder, 1, replace(config, compact_organ=True), 0)
    np.testing.assert_array_equal(structure[0], broken[0])


def test_of_flawed_maps_the_one_with_the_smallest_error_is_taken(monkeypatch):
    monkeypatch.setattr(building, "THIN", 0.5)
    two = [
        (organ(kind, 3, 9)[0], np.minimum(organ("x", 3, 9)[1], organ("x", 14, 20)[1]))
        for kind in ("broken", "closed")
    ]
    config = replace(CONFIG, compact_organ=True, max_contour_error=0.0, map_retries=1)
    structure, _, after_retries = random_maps(Decoder(*two), 1, config, 0)
    np.testing.assert_array_equal(structure[0], two[1][0])
    assert after_retries == 1
    structure, *_ = random_maps(Decoder(organ("broken"), two[1]), 1, config, 0)
    np.testing.assert_array_equal(structure[0], organ("broken")[0])  # open but in one piece
    monkeypatch.setattr(building, "THIN", 0.001)
    structure, _, after_retries = random_maps(Decoder(*[organ("closed")] * 2), 1, config, 0)
    assert after_retries == 1


def test_rejections_are_counted_by_reason(tmp_path):
    small, large = organ("closed", 9, 15), organ("closed")
    decoder = Decoder(organ("none"), small, organ("broken"), large, large, large)
    counts = build(tmp_path, decode=decoder, labels=labels()[:1])
    assert counts == {
        "score below threshold": 0,
        "no fitting label": 1,
        "no organ": 1,
        "open contour": 1,
    }
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest == {
        "training data": "phantom",
        "settings": asdict(CONFIG),
        "seed": 5,
        "samples": 3,
        "selected": 3,
        "accepted_after_retries": 0,
        "rejected": counts,
    }
    assert [row["map_draws"] for row in rows(tmp_path)] == ["4", "1", "1"]


def test_a_map_without_label_starts_its_retries_anew(tmp_path):
    small, broken = organ("closed", 9, 15), organ("broken")
    decoder = Decoder(broken, small, broken, broken, organ("closed"))
    config = replace(CONFIG, samples=1)
    counts = build(tmp_path, config, decoder, labels=labels()[:1])
    assert counts["open contour"] == 3
    assert rows(tmp_path)[0]["accepted_after_retries"] == "False"


def test_classes_of_images_take_turns(tmp_path):
    def score(images, label):
        return label[:, 0, 0, 0] / 2

    config = replace(CONFIG, samples=6, batch_size=2, min_score=0.5)
    build(tmp_path, config, labels=lambda *_: EveryClass(3), score=score)
    samples = list(read_synthetic_set(tmp_path))
    for number, sample in enumerate(samples):
        np.testing.assert_array_equal(sample["label"], np.full((SIZE, SIZE), number % 3))
        np.testing.assert_allclose(sample["images"][..., 2], number % 3 / 4)
    assert [row["selected"] for row in rows(tmp_path)] == ["False", "True", "True"] * 2


def test_sets_without_labels_have_no_scores_and_keep_every_sample(tmp_path):
    def rendered(structure, outside, labels, seeds):
        assert labels is None
        return np.concatenate([structure, outside], axis=-1).astype(np.float32)

    config = replace(CONFIG, min_score=0.5)
    plain = {"labels": lambda *_: NoLabels(), "score": None, "notes": UNLABELLED}
    counts = build(tmp_path, config, render=rendered, **plain)
    assert counts["score below threshold"] == 0
    for sample in read_synthetic_set(tmp_path):
        assert "label" not in sample and sample["structure"].shape == (SIZE, SIZE)


def test_masks_that_fit_no_label_end_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(matching, "MAP_ROUNDS", 3)
    decoder = Decoder(*[organ("closed")] * 3)
    with pytest.raises(UserError, match="any of 3 random maps of synthetic sample 0"):
        build(tmp_path, decode=decoder, labels=labels()[2:])


@pytest.mark.parametrize("augment", [False, True])
def test_labels_lie_inside_the_organ(tmp_path, augment):
    config = replace(CONFIG, samples=8, batch_size=4, augment_labels=augment)
    build(tmp_path, config)
    equal = []
    for sample, row in zip(read_synthetic_set(tmp_path), rows(tmp_path)):
        assert sample["label"].any() and not (sample["label"] * sample["outside"]).any()
        source = labels()[int(row["label_source"]), ..., 0]
        assert set(np.unique(sample["label"])) <= set(np.unique(source))
        equal.append(bool((sample["label"] == source).all()))
    assert len(equal) == 8 and all(equal) == (not augment)


def test_a_label_that_augmentation_moved_out_is_never_taken(tmp_path):
    found = labels()[:2]
    found[0] = 0
    build(tmp_path, replace(CONFIG, samples=6), labels=found)
    assert {row["label_source"] for row in rows(tmp_path)} == {"1"}


def test_samples_come_back_as_they_were_rendered(tmp_path):
    build(tmp_path)
    for number, sample in enumerate(read_synthetic_set(tmp_path)):
        row = rows(tmp_path)[number]
        maps = [sample[name][None, ..., None] for name in ("structure", "outside", "label")]
        expected = render(*maps, np.array([json.loads(row["seed"])]))[0]
        assert row["sample"] == str(number) and sample["images"].dtype == np.float32
        np.testing.assert_array_equal(sample["images"], expected)
        with np.load(tmp_path / row["file"]) as arrays:
            np.testing.assert_array_equal(arrays["images"], expected)


def test_a_sample_does_not_depend_on_the_batch(tmp_path):
    for name, size, count in (("two", 2, 7), ("five", 5, 7), ("fewer", 3, 4)):
        build(tmp_path / name, replace(CONFIG, samples=count, batch_size=size))
    two, five, fewer = (files(tmp_path / name / "samples") for name in ("two", "five", "fewer"))
    assert two == five and len(two) == 14
    assert fewer == {name: two[name] for name in fewer} and len(fewer) == 8


def test_networks_always_see_whole_batches(tmp_path):
    sizes = set()

    def decode(seeds):
        sizes.add(len(seeds))
        return decode_seeds(seeds)

    def rendered(structure, outside, label, seeds):
        sizes.update(map(len, (structure, outside, label, seeds)))
        return render(structure, outside, label, seeds)

    def score(images, label):
        sizes.update(map(len, (images, label)))
        return np.ones(len(images))

    config = replace(CONFIG, samples=7, batch_size=3)
    build(tmp_path, config, decode, render=rendered, score=score)
    assert sizes == {3}


def test_a_stopped_build_continues_to_the_same_bytes(tmp_path):
    config = replace(CONFIG, samples=6, batch_size=2)
    build(tmp_path / "whole", config)
    calls = []

    def stopping(*arrays):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render(*arrays)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "part", config, render=stopping)
    done = files(tmp_path / "part" / "samples")
    assert 2 <= len(done) < 12
    first = sorted(done)[1]
    assert first.endswith(".npz")
    with pytest.raises(UserError, match="not a finished synthetic set"):
        next(read_synthetic_set(tmp_path / "part"))
    # A kill between the two files of a sample leaves the array alone.
    (tmp_path / "part" / "samples" / first).with_suffix(".json").unlink()
    build(tmp_path / "part", config)
    assert files(tmp_path / "part") == files(tmp_path / "whole")


def test_samples_below_the_dice_threshold_are_marked(tmp_path):
    scores = iter([0.97, 0.95, 0.94])
    config = replace(CONFIG, min_score=0.95)
    counts = build(tmp_path, config, score=lambda images, label: np.array([next(scores)]))
    assert [row["selected"] for row in rows(tmp_path)] == ["True", "True", "False"]
    assert [row["score"] for row in rows(tmp_path)] == ["0.97", "0.95", "0.94"]
    assert counts["score below threshold"] == 1 and len(list(read_synthetic_set(tmp_path))) == 3
    assert json.loads((tmp_path / "manifest.json").read_text())["selected"] == 2


@pytest.mark.parametrize("name", ["samples", "batch_size", "label_tries"])
def test_sizes_start_at_1(name):
    with pytest.raises(UserError, match=f"--dataset.{name} is 0; give 1 or more"):
        SyntheticConfig(**{name: 0})


def test_labels_are_tried_in_order_and_no_more_of_them_than_allowed():
    """Only label 1 fits: the place at which it is drawn decides."""
    places = []
    for number in range(40):
        key = derive_seed(5, "label", number, 0)
        draws = [np.random.default_rng([key, first]).integers(3, size=10) for first in (0, 10)]
        place = np.concatenate(draws).tolist().index(1)
        draft = Draft(number, best=BestMap(outside=organ("closed", 9, 15)[1]))
        for tries, source in ((place, -1), (place + 1, 1)):
            if tries:
                sampler = FittingLabels(labels(), replace(CONFIG, label_tries=tries), 5)
                label, found = sampler.draw(draft)
                assert found == source and label.any() == (source == 1)
        places.append(place)
    assert min(places) == 0 and max(places) > 3

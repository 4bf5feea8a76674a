"""The networks that come with the project: do their images follow a label, is a stack a volume?"""

from __future__ import annotations

import base64
import json
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from data.brats import phantom
from data.brats.dataset import BRATS
from data.brats.phantom_kinds import EASY
from data.brats.scaling import scaled_slices
from data.grids import Volume
from data.random_lesions import random_lesion
from data.structure_maps.extraction import extract_structure
from experiments.engine.published import SHIPPED, run_folder
from experiments.systems.structure_gan.painting import Painter
from experiments.systems.structure_gan.rendering import Brain, LabelRenderer
from utils.metrics.images import pairwise_overlap
from utils.metrics.volumes import slice_steps
from utils.runs.files import read_json
from utils.serving.messages import Request

SPACING = [2.0, 2.0]  # mm of a pixel


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return run_folder(Path("phantom"), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def renderer(folder) -> LabelRenderer:
    return LabelRenderer(folder)


def test_they_are_small_and_say_what_they_are(folder):
    assert SHIPPED.stat().st_size <= 8e6
    text = (folder / "datasheet.md").read_text(encoding="utf-8")
    assert "not for diagnosis" in text and "phantom" in text and "with changes" not in text


def test_ten_lesions_of_other_shapes_and_places_are_found(renderer, folder):
    real = read_json(folder / "metrics.json")["segmentation/real/dice_wt"]
    scores = []
    for seed in range(10):
        brain = renderer.random_brain(100 + seed)
        lesion = random_lesion(brain.outside[0] == 0, np.random.default_rng(seed), SPACING)[None]
        images = renderer.images(brain, lesion, seed)
        scores.append(np.mean(list(renderer.scores(renderer.found(images), lesion).values())))
    assert len(set(scores)) == 10
    print(f"Dice of ten lesions {np.mean(scores):.3f}, of real slices {real:.3f}")
    assert np.mean(scores) >= 0.8 * real


def test_neighbouring_slices_differ_as_those_of_patients(renderer):
    lesion = np.zeros((50, *renderer.size), bool)
    lesion[15:35, 40:52, 24:32] = True
    for seed in range(3):
        brain = renderer.random_stack(seed, lesion)
        assert not (lesion & (brain.outside > 0)).any()
        images = renderer.images(brain, 2 * lesion, seed)
        inside = brain.outside == 0
        step = np.mean([slice_steps(images[..., k], inside)[0] for k in range(4)])
        print(f"step {step:.4f}, of real slices {renderer.real_step:.4f}")
        assert step == pytest.approx(renderer.real_step, rel=0.3)


def test_a_tumour_in_a_healthy_brain_leaves_the_rest_as_it_is(renderer, monkeypatch):
    def one_voxel(rng, anatomy, lesions) -> np.ndarray:
        label = np.zeros(anatomy.brain.shape, np.uint8)
        label[tuple(np.argwhere(anatomy.brain)[0])] = 2
        return label

    monkeypatch.setattr(phantom, "grow_lesion", one_voxel)
    scan = phantom.phantom_subject(77, 0, EASY)["T1"]  # a subject that no network has seen
    volume = Volume(scan, (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    brain, axial = renderer.brain_of(Path("T1"), volume)
    chosen = slice(10, 40, 5)
    brain = Brain(*(part[chosen] for part in brain))
    constants = renderer.config.maps.constants(BRATS)
    own = scaled_slices({Path("T1"): scan}, axial[chosen], renderer.config.slicing)
    lesion = np.stack(
        [
            random_lesion(o == 0, np.random.default_rng(k), SPACING)
            for k, o in enumerate(brain.outside)
        ]
    )
    near = ndimage.binary_dilation(lesion > 0, np.ones((1, 3, 3)), iterations=4)
    overlaps = []
    for label in (lesion, 0 * lesion):
        images = renderer.images(brain, label, 0)
        lines = [
            np.where(near, 0, extract_structure(one, constants).numpy()[..., 0])
            for one in (own, images[..., :1])
        ]
        overlaps.append(np.nanmean(pairwise_overlap(np.stack(lines, axis=1))))
    with_tumour, rebuilt = overlaps
    print(f"overlap with the scan's lines {with_tumour:.3f}, without tumour {rebuilt:.3f}")
    assert rebuilt > 0.5 and with_tumour >= 0.9 * rebuilt
    scores = renderer.scores(renderer.found(renderer.images(brain, lesion, 0)), lesion)
    assert np.mean(list(scores.values())) > 0.5


@pytest.mark.slow
def test_redraws_are_fast_and_leave_nothing_behind(renderer):
    painter = Painter(renderer, True)
    painter.warm_up()
    inside = renderer.random_brain(0).outside[0] == 0
    seconds, memory = [], {}
    for number in range(2000):
        label = random_lesion(inside, np.random.default_rng(number), SPACING)
        content = {"brain": 0, "seed": number, "label": base64.b64encode(label).decode()}
        begin = time.perf_counter()
        painter.render(Request(json.dumps(content).encode()))
        seconds.append(time.perf_counter() - begin)
        if number in (200, 1999):
            memory[number] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("p95 of 200 and of 2000:", np.percentile(seconds[:200], 95), np.percentile(seconds, 95))
    assert np.percentile(seconds[:200], 95) <= 0.3
    assert memory[1999] - memory[200] < 20_000  # kB

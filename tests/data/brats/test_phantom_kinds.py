"""The varied phantom: its subjects, and each thing that the easy one does not have."""

from __future__ import annotations

import numpy as np
import pytest

from data.brats.names import MODALITIES
from data.brats.phantom import phantom_subject
from data.brats.phantom_anatomy import Anatomy, draw_seeds
from data.brats.phantom_findings import Mimics, draw_spots, draw_vessels, with_cavity
from data.brats.phantom_kinds import EASY, KINDS, VARIED, LesionType, PhantomName
from data.brats.phantom_lesion import draw_extent, grow_lesion
from data.brats.phantom_scan import SIGNALS, draw_signals, mixture, soften, thick_slices

CSF, WHITE = 0, 2
SHAPE = (64, 64, 64)
FOCUS = (32, 32, 20)


@pytest.fixture(scope="module")
def varied():
    return phantom_subject(0, 1, VARIED)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def block():
    """A cube of white matter with a layer of CSF at one side, in a margin of nothing."""
    brain = np.zeros(SHAPE, bool)
    brain[4:60, 4:60, 4:60] = True
    csf = np.zeros(SHAPE, np.float32)
    csf[:, :, 50:] = 1
    tissues = np.stack([csf, np.zeros_like(csf), 1 - csf])[:, brain]
    detail = np.zeros(tissues.shape[1], np.float32)
    return Anatomy(brain, tissues, detail, np.array([FOCUS], float))


def volume_of(values: np.ndarray, brain: np.ndarray) -> np.ndarray:
    volume = np.zeros(brain.shape, values.dtype)
    volume[brain] = values
    return volume


def test_the_names_on_the_command_line_are_those_of_the_kinds():
    assert set(KINDS) == set(PhantomName.__args__)
    assert all(set(kind.lesions) == {"HGG", "LGG"} for kind in KINDS.values())


def test_a_varied_subject_keeps_the_contract_of_volumes(varied):
    brain = varied["T1"] > 0
    assert 1e6 < brain.sum() < 2e6
    for name in MODALITIES:
        assert varied[name].shape == (155, 240, 240) and varied[name].dtype == np.int16
        np.testing.assert_array_equal(varied[name] != 0, brain)
    labels = np.unique(varied["label"])
    assert labels.max() <= 4 and len(labels) > 1 and not varied["label"][~brain].any()


def test_a_varied_subject_is_a_function_of_kind_seed_and_index(varied):
    again = phantom_subject(0, 1, VARIED)
    assert all(np.array_equal(again[name], array) for name, array in varied.items())
    for other in (phantom_subject(1, 1, VARIED), phantom_subject(0, 1, EASY)):
        assert not np.array_equal(other["Flair"], varied["Flair"])


def test_further_foci_lie_at_their_distance(rng):
    sites = VARIED.sites._replace(further=(1.0, 1.0, 0.0), distances=(30, 50))
    white = np.ones((80, 60, 60), np.float32)
    seeds = draw_seeds(rng, white, 2.0, sites)
    assert len(seeds) == 3
    distances = np.linalg.norm(seeds[1:] - seeds[0], axis=1)
    assert (distances > 30).all() and (distances < 50).all()
    assert len(draw_seeds(rng, white, 2.0, sites._replace(further=(0.0, 1.0)))) == 1


def test_types_of_lesion_end_where_their_shares_say(rng):
    solid = LesionType((10, 10), (0.5, 0.5), None, (0, 0))
    assert draw_extent(rng, solid)[:3] == (0.0, 5.0, 10.0)
    assert draw_extent(rng, solid._replace(necrosis=(0.4, 0.4)))[:3] == (2.0, 5.0, 10.0)


@pytest.mark.parametrize("grade", ["HGG", "LGG"])
def test_every_varied_type_of_lesion_grows_a_core(rng, block, grade):
    for lesion in VARIED.lesions[grade]:
        counts = np.bincount(grow_lesion(rng, block, [lesion]).ravel(), minlength=5)
        assert counts[1:].sum() > 200 and counts[[1, 3, 4]].sum() > 0.01 * counts[2]


def test_a_cavity_is_csf_beside_the_focus_into_which_no_lesion_grows(rng, block):
    findings = VARIED.findings._replace(cavity=1.0, cavity_radius=(10, 10))
    operated = with_cavity(rng, block, findings)
    csf = volume_of(operated.tissues[CSF] - block.tissues[CSF], block.brain)
    # Of a ball with a radius of 10 mm, dented, and cut off where the brain ends.
    assert 0.3 < csf.sum() / (4 / 3 * np.pi * 10**3) < 1.3
    np.testing.assert_allclose(operated.tissues.sum(0), 1, atol=1e-6)
    assert csf[FOCUS] == 0
    label = grow_lesion(rng, operated, VARIED.lesions["HGG"][:1])
    assert label.any() and not label[csf > 0.5].any()


def test_the_widest_cavity_leaves_the_focus_in_tissue(block):
    findings = VARIED.findings._replace(cavity=1.0)
    for seed in range(40):
        operated = with_cavity(np.random.default_rng(seed), block, findings)
        csf = volume_of(operated.tissues[CSF], block.brain)
        assert not csf[tuple(slice(c - 1, c + 2) for c in FOCUS)].any()


def test_no_cavity_where_none_is_asked_for(rng, block):
    assert with_cavity(rng, block, VARIED.findings._replace(cavity=0.0)) is block


def test_spots_lie_in_healthy_white_matter(rng, block):
    label = np.zeros(SHAPE, np.uint8)
    label[:32] = 2
    findings = VARIED.findings._replace(spots=(9, 9), spot_radius=(1.0, 1.0))
    spots = volume_of(draw_spots(rng, block, label, findings), block.brain)
    assert 0.5 <= spots.max() <= 1
    assert not spots[:, :, 50:].any()
    # Their centres, at half of the maximum and more, are outside the lesion but for a blurred edge.
    assert not (spots[:31] > 0.5).any() and (spots[32:] > 0.5).any()
    assert not draw_spots(rng, block, label, findings._replace(spots=(0, 0))).any()


def test_blood_is_in_csf_and_at_the_surface_but_not_in_the_lesion(rng, block):
    label = np.zeros(SHAPE, np.uint8)
    label[:32] = 2
    findings = VARIED.findings._replace(vessels=(1.0, 1.0))
    blood = volume_of(draw_vessels(rng, block, label, findings), block.brain)
    assert not blood[:32].any()
    assert blood[32:, 4:6].max() > 0.5 and blood[34:56, 8:56, 52:56].max() > 0.5
    assert not blood[34:56, 8:56, 8:48].any()  # white matter inside
    assert not draw_vessels(rng, block, label, findings._replace(vessels=(0.0, 0.0))).any()


def test_mimics_take_their_share_of_what_is_there(rng, block):
    label = np.zeros(SHAPE, np.uint8)
    label[FOCUS] = 4
    spots, blood = np.zeros((2, block.brain.sum()), np.float32)
    spots[0], blood[0] = 0.5, 0.2
    contents = mixture(rng, block, label, Mimics(spots, blood))
    np.testing.assert_allclose(contents.sum(0), 1, atol=1e-6)
    # Half of the first voxel is like oedema, then blood takes a fifth of all.
    np.testing.assert_allclose(contents[[WHITE, 5, 8], 0], [0.4, 0.4, 0.2], atol=1e-6)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_lesion_without_visibility_looks_like_white_matter(rng, modality):
    scanner = VARIED.scanner._replace(contrast=0.0, visibility=(0.0, 0.0))
    signals = draw_signals(rng, rng, modality, 9, scanner)
    np.testing.assert_allclose(signals[4:8], SIGNALS[modality][WHITE], rtol=1e-6)
    half = draw_signals(rng, rng, modality, 9, scanner._replace(visibility=(0.5, 0.5)))
    middle = (np.array(SIGNALS[modality][4:8]) + SIGNALS[modality][WHITE]) / 2
    np.testing.assert_allclose(half[4:8], middle, rtol=1e-6)
    np.testing.assert_allclose(half[[0, 1, 2, 3, 8]], np.array(SIGNALS[modality])[[0, 1, 2, 3, 8]])


def test_thick_slices_are_means_and_lines_between_them():
    volume = np.array([0, 3, 6, 9, 9, 9, 1], np.float32)[:, None, None]
    # Means 3, 9 and 1 at planes 1, 4 and 6.
    expected = [3, 3, 5, 7, 9, 5, 1]
    np.testing.assert_allclose(thick_slices(volume, 3)[:, 0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(thick_slices(volume, 1), volume)


def test_softening_keeps_constants_and_takes_nothing_from_outside(rng, block):
    constant = np.full(block.brain.sum(), 0.7, np.float32)
    np.testing.assert_allclose(soften(constant, block.brain, 0.9, 5), 0.7, rtol=1e-5)
    noise = rng.standard_normal(constant.size).astype(np.float32)
    assert soften(noise, block.brain, 0.0, 1) is noise
    assert soften(noise, block.brain, 0.9, 1).std() < 0.6
    # The mean of 5 planes has 1/sqrt(5) of their noise, and the lines between means still less.
    assert soften(noise, block.brain, 0.0, 5).std() < 0.45

"""Boxes on generated CT maps: where kinds belong, what fits, what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from data.boxes import mirrored
from data.tianchi_ct.placing import drawn_boxes, fits, fitting_boxes, places_of

SIDE = 100
NODULE, CORD, ARTERY = 1, 2, 3


def mask(lungs: bool = True) -> np.ndarray:
    """A body of 80 x 80 pixels in air, with two lungs of 40 x 20 and an air bubble of 2 x 2."""
    outside = np.ones((SIDE, SIDE), np.uint8)
    outside[10:90, 10:90] = 0
    if lungs:
        outside[30:70, 20:40] = outside[30:70, 60:80] = 1
        outside[48:52, 28:32] = 0  # a vessel inside a lung
    outside[80:82, 50:52] = 1
    return outside


def box(kind, x, y, w=6, h=6) -> np.ndarray:
    rows = np.zeros((4, 5), np.float32)
    rows[0] = (kind, x / SIDE, y / SIDE, w / SIDE, h / SIDE)
    return rows


def test_lungs_are_the_large_dark_parts_inside_of_the_body():
    places = places_of(mask())
    expected = np.zeros((SIDE, SIDE), bool)
    expected[30:70, 20:40] = expected[30:70, 60:80] = True
    np.testing.assert_array_equal(places.lungs, expected)  # without the hole of the vessel
    np.testing.assert_array_equal(places.tissue, mask() == 0)
    assert places.reach[27, 30] and not places.reach[26, 30]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (box(NODULE, 30, 40), True),
        (box(NODULE, 50, 40), False),  # between the lungs
        (box(NODULE, 21, 40, 14), False),  # its centre in the lung, a third of it too far outside
        (box(NODULE, 24, 40, 14), True),
        (box(CORD, 5, 5), False),
        (box(ARTERY, 50, 40), True),
        (box(ARTERY, 30, 40), False),
        (np.zeros((4, 5), np.float32), False),
    ],
)
def test_boxes_fit_where_their_kind_belongs(rows, expected):
    assert fits(rows, places_of(mask())) == expected


def test_all_boxes_have_to_fit():
    rows = box(NODULE, 30, 40)
    rows[1] = box(ARTERY, 30, 60)[0]
    assert not fits(rows, places_of(mask()))
    rows[1] = box(ARTERY, 50, 60)[0]
    assert fits(rows, places_of(mask()))


def test_mirrored_boxes_are_their_own_mirror():
    rows = box(NODULE, 30, 40)
    other = mirrored(rows).numpy()
    assert other[0, 1] == pytest.approx(0.7) and not other[1:].any()
    np.testing.assert_allclose(mirrored(other), rows, atol=1e-6)


def test_fitting_boxes_are_those_of_a_training_slice_or_drawn():
    places, rng = places_of(mask()), np.random.default_rng(0)
    known = np.stack([box(ARTERY, 30, 40), box(NODULE, 30, 40), box(CORD, 5, 5)])
    for _ in range(20):
        rows, number = fitting_boxes(rng, places, known, 50)
        assert number == 1 and fits(rows, places)
    rows, number = fitting_boxes(rng, places, known[2:], 50)
    assert number == -1 and rows[0, 0] == CORD and fits(rows, places)
    np.testing.assert_allclose(rows[0, 3:], known[2, 0, 3:])
    one, other = (fitting_boxes(np.random.default_rng(3), places, known, 50) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("mirror", [True, False])
def test_boxes_are_mirrored_only_when_told(mirror):
    places, rng = places_of(mask()), np.random.default_rng(0)
    known = box(NODULE, 30, 40)[None]
    found = {float(fitting_boxes(rng, places, known, 50, mirror)[0][0, 1]) for _ in range(20)}
    assert len(found) == 1 + mirror


def test_a_map_without_lungs_has_no_place_for_nodules():
    places, rng = places_of(mask(lungs=False)), np.random.default_rng(0)
    assert drawn_boxes(rng, places, box(NODULE, 30, 40)[None], 20) is None
    assert fitting_boxes(rng, places, box(NODULE, 30, 40)[None], 20) == (None, -1)
    assert drawn_boxes(rng, places, box(ARTERY, 30, 40)[None], 20) is not None

"""Walks between codes, against squares written out by hand."""

from __future__ import annotations

import numpy as np

from models.structure_gan.latent_walk import replaced, straight_walk, swapping_walk

CORNERS = np.repeat([[1.0], [2.0], [3.0], [4.0]], 4, axis=1)  # coordinates tell where they are from
CENTRE = np.full(4, 9.0)


def words(codes: np.ndarray) -> list[str]:
    return [" ".join("".join(f"{x:.0f}" for x in code) for code in row) for row in codes]


def test_a_step_takes_over_every_so_manieth_coordinate():
    start, goal = np.zeros(7), np.ones(7)
    taken = [replaced(start, goal, steps, 3).astype(int).tolist() for steps in range(4)]
    assert taken == [
        [0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0, 1],
        [1, 1, 0, 1, 1, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ]


def test_swapping_walk_by_hand():
    found = swapping_walk(CORNERS, CENTRE, side=5, edge_stride=4, centre_stride=2)
    assert words(found) == [
        "1111 2111 2211 2221 2222",
        "3111 9191 9291 9292 4222",
        "3311 9391 9999 9492 4422",
        "3331 9393 9493 9494 4442",
        "3333 4333 4433 4443 4444",
    ]


def test_places_that_took_over_everything_repeat_their_goal():
    found = swapping_walk(CORNERS, CENTRE, side=5, edge_stride=3, centre_stride=1)
    assert words(found)[0] == "1111 2112 2212 2222 2222"
    assert words(found)[2] == "3313 9999 9999 9999 4424"


def test_straight_walk_by_hand():
    found = straight_walk(CORNERS[:, :1], CENTRE[:1], side=5)[..., 0]
    np.testing.assert_allclose(found[0], [1, 1.25, 1.5, 1.75, 2])
    np.testing.assert_allclose(found[:, 4], [2, 2.5, 3, 3.5, 4])
    np.testing.assert_allclose(found[2], [2, 5.5, 9, 6, 3])  # half way between border and centre
    assert found[1, 1] == (1 + 9) / 2 and found[3, 3] == (4 + 9) / 2

"""Changes to the lesion of a label map: mirrored, grown, moved, turned, deformed, replaced.

A label map is an integer array [H,W] or [D,H,W], columns from right to left: 0 is background, from
1 on normal brain, from `first_lesion` on parts of a lesion. Every function returns a new map with
the same background: a lesion stays inside of the brain, at least a pixel of it is left, and what it
leaves behind becomes the last label of normal brain, or what a smaller lesion has around it.

Source: SAMR's manipulations; how they are drawn at random is in a supplement that is not public,
`random_change` is our reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import combinations
from typing import Callable, NamedTuple, Optional

import numpy as np
from scipy import ndimage

from utils.errors import UserError

BRAIN, LESION = 1, 2
FACTORS = (0.5, 2.0)  # of the area, at random
LARGEST_MOVE = 0.15  # of the brain's extent along an axis, at random
ATTEMPTS = 20


def in_organ(classes: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Returns the label map of a lesion's classes, 0 without lesion, in an organ (bool), uint8."""
    return np.where(inside & (classes > 0), classes + (LESION - 1), inside * BRAIN).astype(np.uint8)


def lesion_classes(label: np.ndarray) -> np.ndarray:
    """Returns the lesion's classes of a label map as `in_organ` makes it, uint8."""
    return np.where(label >= LESION, label - (LESION - 1), 0).astype(np.uint8)


def mirrored(label: np.ndarray, first_lesion: int = LESION) -> np.ndarray:
    """Flips the lesion left to right about the middle column of the brain."""
    columns = np.flatnonzero((label >= BRAIN).any(axis=tuple(range(label.ndim - 1))))
    first, last = columns[0], columns[-1]
    lesion = _lesion(label, first_lesion)
    flipped = np.zeros_like(lesion)
    flipped[..., first : last + 1] = lesion[..., first : last + 1][..., ::-1]
    return _placed(_without_lesion(label, first_lesion), flipped)


def moved(label: np.ndarray, offset: Sequence[int], first_lesion: int = LESION) -> np.ndarray:
    """Moves the lesion by so many pixels along each axis, rows (or slices) first.

    Raises UserError if nothing of it would stay inside of the brain.
    """
    shifted = _shifted(_lesion(label, first_lesion), offset)
    return _placed(_without_lesion(label, first_lesion), shifted)


def resized(
    label: np.ndarray,
    factor: float,
    parts: Optional[Sequence[int]] = None,
    first_lesion: int = LESION,
) -> np.ndarray:
    """Enlarges or shrinks the lesion about its centre of mass.

    It has `factor` times the pixels afterwards, rounded, unless the brain ends before.

    Args:
        label: the map.
        factor: of the area in pixels (of the volume in voxels), above 0.
        parts: the labels that change, by default all of the lesion. What they leave behind takes
            the label of the nearest pixel that is none of them, oedema around a tumour for example.
        first_lesion: the first label of the lesion.
    """
    parts = np.unique(label[label >= first_lesion]) if parts is None else parts
    chosen = np.isin(label, parts)
    if not chosen.any():
        raise UserError(
            f"the label map has none of the labels {', '.join(map(str, parts))}, whose size is to "
            "be changed; give those of its lesion"
        )
    places = _zoomed_places(chosen, factor)
    depth = ndimage.distance_transform_edt(chosen) - ndimage.distance_transform_edt(~chosen)
    depth = ndimage.map_coordinates(depth, places, order=1, mode="nearest")
    # The deepest pixels: their number is exact where an outline at a depth of 0 would round.
    size = max(round(min(factor * chosen.sum(), label.size)), 1)
    inside = np.zeros(label.size, bool)
    inside[np.argsort(-depth, axis=None, kind="stable")[:size]] = True
    values = nearest_label(label, chosen)[tuple(np.rint(places).astype(int))]
    lesion = np.where(inside.reshape(label.shape), values, 0)
    around = nearest_label(label, (label >= BRAIN) & ~chosen, first_lesion - 1)
    rest = np.where(chosen, around, label)
    return _placed(rest, lesion)


def turned(
    label: np.ndarray,
    degrees: Sequence[float],
    first_lesion: int = LESION,
    spacing: Optional[Sequence[float]] = None,
) -> np.ndarray:
    """Turns the lesion about its centre of mass; every pixel takes the nearest one's label.

    Args:
        label: the map.
        degrees: angle in each plane of two axes, turned one after the other: of [H,W] one angle,
            from the rows' axis to the columns'; of [D,H,W] three, from D to H, D to W and H to W.
        first_lesion: the first label of the lesion.
        spacing: size of a pixel along each axis in mm; default: 1.

    Raises UserError for another number of angles, without a lesion, or if nothing of it would stay
    inside of the brain.
    """
    planes = list(combinations(range(label.ndim), 2))
    if len(degrees) != len(planes):
        raise UserError(
            f"degrees are {len(degrees)} angles, but a map with {label.ndim} axes has "
            f"{len(planes)} planes; give one angle for each"
        )
    back = np.eye(label.ndim)  # from the new place to the old one
    for (first, second), angle in zip(planes, np.radians(degrees)):
        turn = np.eye(label.ndim)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = np.sin(angle), -np.sin(angle)
        back = back @ turn
    sides = _sides(label, spacing)
    lesion = _lesion(label, first_lesion)
    centre, offsets = _about_centre(lesion > 0)
    places = centre + np.tensordot(back * sides / sides[:, None], offsets, axes=1)
    return _placed(_without_lesion(label, first_lesion), _at(lesion, places))


def deformed(
    label: np.ndarray,
    amplitude: float,
    smoothness: float,
    rng: np.random.Generator,
    first_lesion: int = LESION,
    spacing: Optional[Sequence[float]] = None,
) -> np.ndarray:
    """Deforms the lesion by a random field; every pixel takes the nearest one's label.

    The field is white noise, smoothed by a Gaussian and scaled to its largest displacement (Simard,
    Steinkraus and Platt, "Best practices for convolutional neural networks", 2003).

    Args:
        label: the map.
        amplitude: the largest displacement around the lesion in mm, 0 or more.
        smoothness: sigma of the Gaussian in mm, above 0.
        rng: source of the field.
        first_lesion: the first label of the lesion.
        spacing: size of a pixel along each axis in mm; default: 1.

    Raises UserError without a lesion, or if nothing of it would stay inside of the brain.
    """
    sides, lesion = _sides(label, spacing), _lesion(label, first_lesion)
    box = _box(lesion, np.ceil(amplitude / sides).astype(int))  # beyond it nothing can arrive
    part = lesion[box]
    noise = rng.standard_normal((label.ndim, *part.shape), np.float32)
    field = ndimage.gaussian_filter(noise, (0, *smoothness / sides))
    field *= amplitude / np.sqrt((field**2).sum(axis=0)).max()
    places = np.indices(part.shape) + field / sides.reshape([-1] + [1] * label.ndim)
    new = np.zeros_like(lesion)
    new[box] = _at(part, places)
    return _placed(_without_lesion(label, first_lesion), new)


def replaced(label: np.ndarray, donor: np.ndarray, first_lesion: int = LESION) -> np.ndarray:
    """Exchanges the lesion for that of another map, at the donor's place.

    Raises UserError if the maps have different shapes, or nothing of it lies inside of the brain.
    """
    _check_shapes(label, donor)
    return _placed(_without_lesion(label, first_lesion), _lesion(donor, first_lesion))


def combined(label: np.ndarray, donor: np.ndarray, first_lesion: int = LESION) -> np.ndarray:
    """Adds the lesion of another map to the own one; where both are, it is the donor's.

    Raises UserError if the maps have different shapes, or no lesion lies inside of the brain.
    """
    _check_shapes(label, donor)
    return _placed(label, _lesion(donor, first_lesion))


# Words of `changed` that name a file.
WITH_FILE = {"donor": replaced, "combine": combined}


class Change(NamedTuple):
    """A change that was drawn at random.

    Attributes:
        label: the new map.
        words: what was done, such as "grow:1.52".
        donor: number of the donor whose lesion is in it, None if none is.
    """

    label: np.ndarray
    words: str
    donor: Optional[int] = None


def random_change(
    label: np.ndarray,
    donors: Sequence[np.ndarray],
    rng: np.random.Generator,
    first_lesion: int = LESION,
) -> Change:
    """Returns a map with one change of each kind or none, drawn anew until a lesion is left.

    In half of the cases the lesion is a donor's, in place of the own one or beside it; it is
    mirrored in half of the cases, resized by a factor of 0.5 to 2 (as likely smaller as larger),
    and moved by up to 15 % of the brain's extent along each axis.

    Args:
        label: the map; without a lesion it gets a donor's.
        donors: maps of the same shape with a lesion, of other patients.
        rng: source of the random numbers.
        first_lesion: the first label of the lesion; no draw depends on it.

    Raises:
        UserError: neither the map nor a donor has a lesion inside of this brain.
    """
    return until_a_lesion_is_left(lambda: _drawn(label, donors, rng, first_lesion))


def until_a_lesion_is_left(draw: Callable[[], Change]) -> Change:
    """Returns what `draw` returns once it raises no UserError.

    Raises UserError if it raises one `ATTEMPTS` times.
    """
    for _ in range(ATTEMPTS):
        with suppress(UserError):
            return draw()
    raise UserError(
        f"{ATTEMPTS} random changes left no lesion inside of the brain; give donors with lesions "
        "that lie in it, or change it less"
    )


def _drawn(
    label: np.ndarray, donors: Sequence[np.ndarray], rng: np.random.Generator, first_lesion: int
) -> Change:
    words, own, number = [], bool((label >= first_lesion).any()), None
    if donors and (not own or rng.random() < 0.5):
        number = int(rng.integers(len(donors)))
        beside = own and rng.random() < 0.5
        label = (combined if beside else replaced)(label, donors[number], first_lesion)
        words.append(f"{'combine' if beside else 'replace'}:{number}")
    if rng.random() < 0.5:
        label = mirrored(label, first_lesion)
        words.append("mirror")
    factor = float(np.exp(rng.uniform(*np.log(FACTORS))))
    label = resized(label, factor, first_lesion=first_lesion)
    words.append(f"{'grow' if factor > 1 else 'shrink'}:{factor:.2f}")
    extents = [np.ptp(places) for places in np.nonzero(label >= BRAIN)]
    offset = [int(round(rng.uniform(-1, 1) * LARGEST_MOVE * extent)) for extent in extents]
    words.append("move:" + ":".join(map(str, offset)))
    return Change(moved(label, offset, first_lesion), ",".join(words), number)


def changed(
    label: np.ndarray,
    words: str,
    read: Optional[Callable[[str], np.ndarray]] = None,
    first_lesion: int = LESION,
) -> np.ndarray:
    """Applies changes in words, one after the other, such as "mirror,grow:1.5,move:10:-4".

    grow takes a factor above 1 and shrink one below, of the area (the volume); move takes pixels
    along the last axes; donor and combine take what `read` makes a map of, a file, whose lesion
    replaces the own one or is added to it. Raises UserError for other words, or if a change leaves
    no lesion inside of the brain.
    """
    for word in words.split(","):
        label = _change_of(word.strip(), label.ndim, read)(label, first_lesion=first_lesion)
    return label


def donor_files(words: str) -> list[str]:
    """Returns the files whose lesions the words of `changed` name."""
    parts = (word.strip().partition(":") for word in words.split(","))
    return [file for name, _, file in parts if name in WITH_FILE]


def _change_of(
    word: str, axes: int, read: Optional[Callable[[str], np.ndarray]]
) -> Callable[..., np.ndarray]:
    """Returns the function that a word of `changed` means; UserError if it means none."""
    name, *values = word.split(":")
    if name == "mirror" and not values:
        return mirrored
    if name in WITH_FILE and values and read:
        return partial(WITH_FILE[name], donor=read(":".join(values)))
    with suppress(ValueError):
        if name == "move" and 0 < len(values) <= axes:
            offset = [0] * (axes - len(values)) + [int(value) for value in values]
            return partial(moved, offset=offset)
        if name in ("grow", "shrink") and len(values) == 1:
            factor = float(values[0])
            if 0 < factor < np.inf and (factor > 1) == (name == "grow"):
                return partial(resized, factor=factor)
    raise UserError(
        f"{word!r} is no change of a lesion; give mirror, grow:1.5 (a factor above 1), shrink:0.5 "
        f"(below 1), move:10:-4 (pixels along up to {axes} axes, the last ones)"
        f"{', donor:FILE or combine:FILE' if read else ''}, separated by commas"
    )


def _lesion(label: np.ndarray, first_lesion: int) -> np.ndarray:
    """Returns the lesion's labels, 0 elsewhere; UserError if there is none."""
    lesion = np.where(label >= first_lesion, label, 0)
    if not lesion.any():
        raise UserError(
            f"the label map has no lesion, whose labels are {first_lesion} and more; give one that "
            "has"
        )
    return lesion


def _without_lesion(label: np.ndarray, first_lesion: int) -> np.ndarray:
    return np.minimum(label, first_lesion - 1)


def _placed(rest: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Returns `rest` with a lesion where it lies in the brain; UserError if it nowhere does.

    `lesion` is 0 where there is none.
    """
    inside = (lesion > 0) & (rest >= BRAIN)
    if not inside.any():
        raise UserError(
            "the change leaves nothing of the lesion inside of the brain; change it less"
        )
    return np.where(inside, lesion, rest).astype(rest.dtype)


def _shifted(lesion: np.ndarray, offset: Sequence[int]) -> np.ndarray:
    """Returns a lesion moved by whole pixels; what leaves the image is lost."""
    for axis, step in enumerate(offset):
        step = int(np.clip(step, -lesion.shape[axis], lesion.shape[axis]))
        kept = [slice(None)] * lesion.ndim
        kept[axis] = slice(max(-step, 0), lesion.shape[axis] - max(step, 0))
        margins = [(0, 0)] * lesion.ndim
        margins[axis] = (max(step, 0), max(-step, 0))
        lesion = np.pad(lesion[tuple(kept)], margins)
    return lesion


def _zoomed_places(chosen: np.ndarray, factor: float) -> np.ndarray:
    """Returns which place of the old map each pixel shows after an enlargement, [axes,...]."""
    centre, offsets = _about_centre(chosen)
    places = centre + offsets / factor ** (1 / chosen.ndim)
    return np.clip(places, 0, np.reshape(chosen.shape, centre.shape) - 1)


def _about_centre(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centre of mass [axes,1,...], and the offset of each pixel from it [axes,...]."""
    centre = np.reshape(ndimage.center_of_mass(chosen), [-1] + [1] * chosen.ndim)
    return centre, np.indices(chosen.shape) - centre


def _sides(label: np.ndarray, spacing: Optional[Sequence[float]]) -> np.ndarray:
    return np.ones(label.ndim) if spacing is None else np.asarray(spacing, float)


def _box(lesion: np.ndarray, margins: Sequence[int]) -> tuple[slice, ...]:
    """Returns the box around a lesion with a margin of so many pixels along each axis."""
    (box,) = ndimage.find_objects(lesion > 0)
    return tuple(
        slice(max(part.start - margin, 0), part.stop + margin) for part, margin in zip(box, margins)
    )


def _at(lesion: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns the labels of a lesion at some places [axes,...], 0 outside of its map."""
    return ndimage.map_coordinates(lesion, places, order=0, mode="constant")


def nearest_label(label: np.ndarray, among: np.ndarray, otherwise: int = 0) -> np.ndarray:
    """Returns at every pixel the label of the nearest of some pixels, `otherwise` without any."""
    if not among.any():
        return np.full_like(label, otherwise)
    _, places = ndimage.distance_transform_edt(~among, return_indices=True)
    return label[tuple(places)]


def _check_shapes(label: np.ndarray, donor: np.ndarray) -> None:
    if label.shape != donor.shape:
        raise UserError(
            f"the donor's label map has {donor.shape} pixels, but the map has {label.shape}; give "
            "one of the same size"
        )

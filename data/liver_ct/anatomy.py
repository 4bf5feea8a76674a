"""A computed abdomen in Hounsfield units, of CT with contrast in the portal venous phase.

A demonstration and test object, not medical data. Places are in mm from the middle of the body at
the height of the liver, see `data.solids`; they are those of an average patient, which a patient's
size stretches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.drawing import Range
from data.solids import Solid, Triple, Waves, column, ellipsoid, half_space, tube

# Hounsfield units.
AIR, LUNG, FAT, MESENTERY, SKIN, MUSCLE = -1000.0, -850.0, -105.0, -95.0, 20.0, 58.0
CORTEX, MARROW, DISC, CARTILAGE, CANAL = 520.0, 210.0, 85.0, 110.0, 35.0
BOWEL_WALL, BOWEL, FLUID, GAS, BILE = 75.0, 28.0, 18.0, -900.0, 8.0
BLOOD, PANCREAS, SPLEEN, RENAL, SINUS, TABLE = 150.0, 95.0, 122.0, 175.0, -70.0, 60.0
LIVER_HU: Range = (96, 118)
VESSELS_HU: Range = (30, 45)  # of the liver's vessels above the liver

LIVER = 1  # of the label
VERTEBRA = 34.0  # from one to the next


class Part(NamedTuple):
    """Something to be painted."""

    solids: Sequence[Solid]
    hu: float
    texture: float = 0.0
    """Standard deviation of its texture, HU."""
    label: int = 0


@dataclass(frozen=True)
class Abdomen:
    """A patient without lesions.

    Attributes:
        stretch: of the average patient, along x, y and z.
        parts: in the order in which they are painted.
        liver: what of the liver is far enough from its surface and large vessels for a lesion,
            if that is as deep in it as its radius.
        liver_hu: of its tissue.
        whole: the liver with its vessels.
    """

    stretch: Triple
    parts: tuple[Part, ...]
    liver: Solid
    whole: Solid
    liver_hu: float


class _Frame(NamedTuple):
    """The walls of the body, from outside to inside."""

    body: Solid
    muscles: Solid
    cavity: Solid
    dome: Solid
    """Below the diaphragm."""
    half: tuple[float, float]
    """Half axes of the muscles' outline, x and y."""


def draw_abdomen(rng: np.random.Generator) -> Abdomen:
    """Returns a patient."""
    stretch = tuple(rng.uniform(0.92, 1.06) * rng.uniform(0.97, 1.03, 3))
    frame = _frame(rng)
    kidneys = _kidneys(rng)
    whole, bile, vessels = _liver(rng, frame, kidneys[0])
    hu, veins = rng.uniform(*LIVER_HU), _large_veins(rng)
    spleen = _spleen(rng, frame, kidneys[1])
    parts = [
        *_walls(rng, frame),
        *_bowel(rng, frame),
        *_retroperitoneum(frame, kidneys),
        *_bones(rng, frame),
        Part([spleen], SPLEEN, 3.0),
        *_stomach(rng, frame),
        *_above_the_diaphragm(rng, frame),
        Part([whole.grown(1.5)], MESENTERY),
        Part([whole], hu, 3.5, LIVER),
        *(Part([piece & whole], hu + rng.uniform(*VESSELS_HU), 0.0, LIVER) for piece in vessels),
        Part([bile.grown(1.5)], BOWEL_WALL),
        Part([bile], BILE),
        Part(veins, BLOOD),
    ]
    room = whole - bile.grown(3)
    for vein in veins:
        room = room - vein.grown(2)
    return Abdomen(stretch, tuple(parts), room, whole, hu)


def _moved(rng: np.random.Generator, places: Sequence[Triple], by: float = 4.0) -> list[Triple]:
    """Returns places that are moved together."""
    shift = rng.normal(0, by / 2, 3)
    return [tuple(np.asarray(place) + shift) for place in places]


def _organ(
    rng: np.random.Generator, centre: Triple, radii: Triple, turn: float = 0.0, by: float = 4.0
) -> Solid:
    """Returns an ellipsoid of which a patient has their own."""
    (centre,) = _moved(rng, [centre], by)
    radii = tuple(np.asarray(radii) * rng.uniform(0.92, 1.08, 3))
    return ellipsoid(centre, radii, turn + rng.normal(0, 0.08))


def _frame(rng: np.random.Generator) -> _Frame:
    fat_front, fat_side, fat_back = rng.uniform((10, 10, 8), (30, 28, 20))
    half = (148.0, 104.0)
    middle = (0.0, (fat_front - fat_back) / 2 * -1)
    body = column(middle, (half[0] + fat_side, half[1] + (fat_front + fat_back) / 2), 2.35)
    muscles, cavity = column((0, 0), half, 2.3), column((0, -6), (half[0] - 15, half[1] - 16), 2.25)
    right = _organ(rng, (-72, 0, -12), (97, 98, 106))
    left = _organ(rng, (74, 0, -18), (92, 94, 98))
    return _Frame(body, muscles, cavity, right | left, half)


def _walls(rng: np.random.Generator, frame: _Frame) -> list[Part]:
    """The table, skin, fat, muscles and what fills the space between the organs."""
    (_, back, _) = frame.body.high
    table = column((0, back - 152), (420, 165), 2.0) - column((0, back - 152), (417.5, 161), 2.0)
    table = table & column((0, 0), (205, 400), 8.0) & half_space((0, 1, 0), back - 60)
    planes = [frame.muscles.grown(-d) - frame.muscles.grown(-d - 1.2) for d in (4.5, 9.0)]
    beside = [part & column((0, -20), (200, 70), 6.0) for part in planes]
    rectus = [ellipsoid((s * 32, -frame.half[1] + 8, 0), (30, 6.5, 900)) for s in (-1, 1)]
    spine = [ellipsoid((s * 36, 84, 0), (31, 19, 900), s * -0.15) for s in (-1, 1)]
    parts = [
        Part([table], TABLE),
        Part([frame.body], SKIN),
        Part([frame.body.grown(-2)], FAT, 8.0),
        Part([frame.muscles], MUSCLE, 5.0),
        Part(beside, FAT),
        Part([frame.cavity], MESENTERY, 9.0),
        Part([solid.grown(2) & frame.muscles.grown(-1) for solid in rectus], FAT),
        Part(rectus, MUSCLE, 4.0),
        Part([solid.grown(3) & frame.muscles.grown(-2) for solid in spine], FAT),
        Part(spine, MUSCLE, 6.0),
    ]
    for _ in range(140):  # vessels of the mesentery
        start = rng.uniform((-100, -70, -120), (100, 10, 0))
        end = start + rng.normal(0, (14, 9, 14))
        parts.append(Part(tube([start, end], rng.uniform(1.0, 2.6)), 90.0))
    return parts


def _bowel(rng: np.random.Generator, frame: _Frame) -> list[Part]:
    parts, room = [], frame.cavity.grown(-3)
    for number in range(66):  # loops of the small bowel
        low, high = (
            ((-75, -66, -140), (95, 12, -38)) if number % 3 else ((20, -70, -50), (96, 8, 4))
        )
        centre = rng.uniform(low, high)
        radii = rng.uniform((13, 11, 11), (24, 15, 16))
        loop = ellipsoid(tuple(centre), tuple(radii), rng.uniform(0, np.pi)) & room
        parts += [Part([loop], BOWEL_WALL, 4.0), Part([loop.grown(-3)], BOWEL, 5.0)]
        if rng.random() < 0.25:
            parts.append(Part([_above(loop.grown(-4), centre[1] - radii[1] / 3)], GAS))
    transverse = [(-96, -35, -62), (-52, -60, -76), (0, -68, -84), (52, -62, -74), (98, -30, -46)]
    ascending = [(-104, 12, -66), (-106, 16, -100), (-104, 14, -150)]
    descending = [(98, -28, -30), (104, 6, -8), (112, 22, -60), (108, 24, -100), (104, 20, -150)]
    for line, radius in ((transverse, 17), (ascending, 23), (descending, 14)):
        fine = _between(_moved(rng, line), 8)
        widths = radius * (1 + 0.16 * np.sin(np.arange(len(fine)) * 1.9)) * rng.uniform(0.85, 1.15)
        walls = tube(fine, widths)
        parts.append(Part([piece & room for piece in walls], BOWEL_WALL, 3.0))
        inner = [piece & room.grown(-3) for piece in tube(fine, widths - 3)]
        parts.append(Part(inner, BOWEL - 10, 26.0))
        level = np.mean(fine[:, 1]) + rng.uniform(-0.5, 0.5) * radius
        parts.append(Part([_above(piece, level) for piece in inner], GAS))
    return parts


def _above(solid: Solid, level: float) -> Solid:
    """Returns what gas fills of a solid: the patient lies on the back."""
    return solid & half_space((0, -1, 0), -level)


def _between(points: Sequence[Triple], pieces: int) -> np.ndarray:
    """Returns a smooth line through some points, `pieces` pieces for each two of them."""
    points = np.asarray(points, float)
    known = np.arange(len(points))
    places = np.linspace(0, len(points) - 1, pieces * (len(points) - 1) + 1)
    return np.stack([np.interp(places, known, axis) for axis in points.T], axis=1)


def _kidneys(rng: np.random.Generator) -> list[Solid]:
    centres = ((-66, 44, -66), (64, 44, -50))
    kidneys = []
    for side, centre in zip((-1, 1), centres):
        kidney = _organ(rng, centre, (27, 31, 56), side * 0.5)
        x, y, z = centre
        hilum = ellipsoid((x - side * 25, y - 8, z), (15, 12, 22))
        kidneys.append((kidney - hilum).uneven(Waves(rng, 14), 0.8))
    return kidneys


def _retroperitoneum(frame: _Frame, kidneys: Sequence[Solid]) -> list[Part]:
    """Kidneys, psoas muscles and crura; large arteries."""
    parts = []
    for side, kidney in zip((-1, 1), kidneys):
        psoas = tube(
            [(side * 30, 60, -10), (side * 36, 62, -60), (side * 42, 60, -160)], (5, 15, 23)
        )
        crus = tube([(side * 14, 38, 70), (side * 19, 42, 10), (side * 20, 46, -50)], (6, 6, 3))
        adrenal = [(side * 44, 40, 4), (side * 38, 30, 12), (side * 50, 26, 10)]
        medulla = kidney.grown(-9)
        parts += [
            Part([kidney.grown(9) & frame.cavity.grown(4)], MESENTERY - 5, 4.0),
            Part(psoas, MUSCLE, 4.0),
            Part(crus, MUSCLE),
            Part([*tube(adrenal[:2], 2.6), *tube(adrenal[::2], 2.6)], 70.0),
            Part([kidney], RENAL, 6.0),
            Part([medulla], RENAL - 30, 18.0),
            Part([kidney.grown(-16)], SINUS, 12.0),
        ]
    trunk = [(3, 26, -22), (4, 14, -24), (4, 8, -60), (2, 6, -150)]
    parts.append(Part(tube([(12, 40, 140), (11, 40, 0), (8, 38, -160)], 11.0), BLOOD))
    parts.append(Part([*tube(trunk, 3.6), *tube([(-10, 8, -20), (-12, 8, -150)], 5.0)], BLOOD))
    return parts


def _large_veins(rng: np.random.Generator) -> list[Solid]:
    """The inferior vena cava, renal, splenic and portal veins."""
    cava = tube([(-20, 36, -160), (-24, 36, -40), (-26, 34, 30), (-20, 28, 105)], (11, 11, 12, 12))
    portal = [(56, 26, 14), (26, 12, 4), (-10, 6, -10), (-30, -2, 2)]
    renal = [[(-22, 36, -60), (-42, 42, -63)], [(-20, 32, -48), (8, 26, -48), (42, 38, -50)]]
    return [
        *cava,
        *tube(portal, (4, 5, 7, 6.5)),
        *(piece for line in renal for piece in tube(line, 4.5)),
    ]


def _spleen(rng: np.random.Generator, frame: _Frame, kidney: Solid) -> Solid:
    spleen = _organ(rng, (98, 42, 22), (30, 50, 54), 0.7)
    hollow = ellipsoid((62, 4, 26), (46, 52, 60))
    return (spleen & frame.cavity.grown(-3) & frame.dome.grown(-4)) - hollow - kidney.grown(6)


def _stomach(rng: np.random.Generator, frame: _Frame) -> list[Part]:
    """Stomach, pancreas and duodenum."""
    fundus = _organ(rng, (58, -8, 36), (42, 46, 44))
    antrum = _organ(rng, (30, -48, -6), (52, 22, 22), 0.3)
    stomach = (fundus | antrum) & frame.cavity.grown(-4) & frame.dome.grown(-4)
    stomach = stomach.uneven(Waves(rng, 22), 1.5)
    level = rng.uniform(-42, -26)
    duodenum = [(-24, -26, -16), (-40, -6, -24), (-42, 10, -50), (-30, 18, -84), (20, 16, -90)]
    pancreas = [(-26, 4, -34), (-16, -2, -14), (12, 2, 0), (42, 20, 6), (74, 34, 14)]
    bumps = Waves(rng, 7)
    lobes = tube(
        _between(_moved(rng, pancreas), 3), np.interp(np.arange(13), (0, 4, 12), (13, 10, 7))
    )
    return [
        Part([piece.uneven(bumps, 1.2) for piece in lobes], PANCREAS, 12.0),
        Part(tube(duodenum, 12.0), BOWEL_WALL, 4.0),
        Part(tube(duodenum, 8.5), BOWEL, 8.0),
        Part([stomach], BOWEL_WALL + 5, 3.0),
        Part([stomach.grown(-5)], FLUID + 8, 5.0),
        Part([_above(stomach.grown(-5), level)], GAS),
    ]


def _above_the_diaphragm(rng: np.random.Generator, frame: _Frame) -> list[Part]:
    middle = ellipsoid((2, 34, 70), (40, 62, 190))
    heart = _organ(rng, (24, -40, 122), (64, 50, 46))
    # The lungs reach further down behind than in front.
    belly = ellipsoid((0, -34, -60), (200, 160, 118))
    lungs = frame.cavity - belly - frame.dome - middle - heart.grown(7)
    parts = [Part([lungs], LUNG, 18.0)]
    for _ in range(60):
        start = rng.uniform((-125, -70, 40), (125, 80, 150))
        end = start + rng.normal(0, 9, 3)
        radius = rng.uniform(0.8, 2.2)
        parts.append(Part([piece & lungs for piece in tube([start, end], radius)], 20.0))
    diaphragm = (frame.dome - frame.dome.grown(-3) - belly.grown(-6)) & frame.cavity
    around = heart.grown(6) - frame.dome
    oesophagus = tube([(18, 22, 140), (22, 16, 70), (38, -2, 56)], 8.0)
    return [
        *parts,
        Part([diaphragm - middle], MUSCLE),
        Part([around & frame.cavity], MESENTERY),
        Part([heart & frame.cavity & half_space((0, 0, 1), 60.0) - frame.dome], BLOOD - 10, 6.0),
        Part(oesophagus, 50.0, 6.0),
    ]


def _bones(rng: np.random.Generator, frame: _Frame) -> list[Part]:
    parts, spine = [], 58.0
    first = rng.uniform(0, VERTEBRA)
    for number in range(-6, 6):
        z = first + VERTEBRA * number
        ends = (z - 0.39 * VERTEBRA, z + 0.39 * VERTEBRA)
        body = column((0, spine), (22, 17), 2.2, ends)
        disc = column((0, spine), (21, 16), 2.2, (ends[1], ends[1] + 0.22 * VERTEBRA))
        arch = [line for s in (-1, 1) for line in _arch(s, spine, z)]
        arch += tube([(0, spine + 34, z - 4), (0, spine + 50, z - 12)], (5, 4))
        parts += [
            Part([disc], DISC),
            Part([body, *arch], CORTEX, 40.0),
            Part([body.grown(-2.2), *(piece.grown(-2) for piece in arch)], MARROW, 25.0),
        ]
    parts.append(Part([column((0, spine + 24), (10, 8))], CANAL))
    for number in range(6):
        for side in (-1, 1):
            parts += _rib(rng, frame, side, 118.0 - 29 * number, number)
    return parts


def _arch(side: int, spine: float, z: float) -> list[Solid]:
    """Half of a vertebra's arch, with its transverse process."""
    half = [(side * 14, spine + 12), (side * 15, spine + 24), (side * 3, spine + 35)]
    across = [(side * 16, spine + 22), (side * 42, spine + 27)]
    return [*tube([(*p, z) for p in half], 5.0), *tube([(*p, z + 3) for p in across], 4.5)]


def _rib(rng: np.random.Generator, frame: _Frame, side: int, top: float, number: int) -> list[Part]:
    """A rib from the spine to its cartilage; the lower ones are shorter and end at the flank."""
    reach = 2.6 if number < 3 else 2.5 - 0.42 * (number - 2)
    angles = np.linspace(0.32, reach, 22)  # from the back to the front
    share = angles / np.pi
    rx, ry = frame.half[0] - 6, frame.half[1] - 7
    height = top + rng.normal(0, 2) - 105 * share**1.1
    x, y = (
        side * rx * np.sin(angles) ** 0.88,
        ry * np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** 0.88,
    )
    line = np.stack([x, y, height], axis=1)
    bone = int(np.searchsorted(angles, 1.95))
    parts = [Part(tube(line[bone:], 5.0), CARTILAGE, 10.0)] if bone < len(line) - 1 else []
    return [
        *parts,
        Part(tube(line[: bone + 1], 5.4), CORTEX, 30.0),
        Part(tube(line[: bone + 1], 3.2), MARROW, 20.0),
    ]


def _liver(
    rng: np.random.Generator, frame: _Frame, kidney: Solid
) -> tuple[Solid, Solid, list[Solid]]:
    """The liver, the gallbladder and the liver's vessels."""
    right = _organ(rng, (-76, 0, -4), (84, 88, 96))
    left = _organ(rng, (-2, -44, 34), (rng.uniform(58, 84), 40, 40), 0.1)
    # The lower surface looks to the left and back.
    edge = half_space((-0.46, 0, 0.888), -34.0 + rng.uniform(-12, 8)).uneven(Waves(rng, 30), 2.0)
    hollow = ellipsoid((26, 58, -10), (60, 62, 150)) | kidney.grown(7)
    hollow = hollow | ellipsoid((-44, 84, -36), (32, 36, 74))  # beside the spine
    fissure = ellipsoid((-14, -50, 2), (3.5, 34, 26), 0.2) | ellipsoid((-16, -4, -8), (26, 11, 14))
    liver = (right & frame.dome.grown(-4)) | (left & frame.dome.grown(-4))
    liver = (liver & frame.cavity.grown(-3) & (edge | left)) - hollow - fissure
    liver = liver.uneven(Waves(rng, 26), 1.8)
    bile = _organ(rng, (-46, -46, -40), (15, 20, 26), 0.3)
    tops = [(-118, 0, 20), (-62, -50, 34), (2, -46, 40)]  # of the hepatic veins
    vessels = [p for end in tops for p in _branches(rng, (-26, 22, 72), end, 5.0, 2)]
    for end in ((-116, -24, -16), (-104, 40, 24), (-64, -40, -4), (8, -48, 22)):
        vessels += _branches(rng, (-32, -2, 4), end, 5.5, 2)
    return liver, bile, vessels


def _branches(
    rng: np.random.Generator, start: Triple, end: Triple, radius: float, depth: int
) -> list[Solid]:
    """A vessel that narrows on its way, and its branches."""
    start, end = np.asarray(start, float), np.asarray(end, float) + rng.normal(0, 6, 3)
    length = np.linalg.norm(end - start)
    middle = (start + end) / 2 + rng.normal(0, 0.08 * length, 3)
    pieces = tube([start, middle, end], (radius, 0.75 * radius, 0.4 * radius))
    if depth:
        for place, width in ((middle, 0.6), ((middle + end) / 2, 0.5)):
            goal = place + 0.45 * (end - start) + rng.normal(0, 0.28 * length, 3)
            pieces += _branches(rng, tuple(place), tuple(goal), width * radius, depth - 1)
    return pieces

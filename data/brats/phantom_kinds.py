"""Kinds of phantom: how much subjects differ in lesion, scanner and side findings, as data.

A demonstration and test object, not medical data. The amounts are chosen to look like the spread
between scanners and between gliomas; they are not fitted to patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Optional

PhantomName = Literal["easy", "varied"]
Range = tuple[float, float]


class LesionType(NamedTuple):
    """One kind of glioma; each range is uniform, lengths are millimetres of white matter."""

    oedema: Range
    """Where the lesion ends."""
    core: Range
    """Where the tumour core ends, as a share of `oedema`."""
    necrosis: Optional[Range]
    """Where the necrosis ends, as a share of the core; None = there is none."""
    rim_threshold: Range
    """The core outside the necrosis enhances where a standard normal field exceeds this."""


class Sites(NamedTuple):
    """Where lesions begin."""

    heights: Range
    """Above the anterior commissure, mm."""
    depth: float
    """Least share of white matter within about 3 mm."""
    further: tuple[float, ...]
    """Probability of a second focus, of a third after that one, and so on."""
    distances: Range
    """From the first focus to each further one, mm."""


class Scanner(NamedTuple):
    """How scans differ; each range is uniform, drawn for each volume."""

    contrast: float
    """Relative standard deviation of the signal of each tissue and lesion part."""
    visibility: Range
    """Contrast between a lesion part and white matter, as a multiple of that in `SIGNALS`."""
    gamma: Range
    """Exponent of the signal."""
    bias: Range
    """Standard deviation of the logarithm of the bias field."""
    noise: Range
    """Standard deviation of the noise, as a share of the brightest signals."""
    blur: Range
    """Standard deviation of the blur within a slice, mm."""
    thickness: tuple[int, ...]
    """Slice thicknesses in mm, one of which is drawn."""


class Findings(NamedTuple):
    """What else a brain may show; none of it has a label."""

    cavity: float
    """Probability of a resection cavity, filled with CSF, beside the first focus."""
    cavity_radius: Range
    """In mm."""
    spots: tuple[int, int]
    """Least and largest number of white matter hyperintensities."""
    spot_radius: Range
    """In mm."""
    vessels: Range
    """Share of blood in the vessels of the sulci and at the brain's surface, bright in T1c."""


class PhantomKind(NamedTuple):
    """All amounts of one kind of phantom."""

    name: str
    version: int
    """To be raised when the subjects of this kind change for another reason than their amounts."""
    lesions: Mapping[str, tuple[LesionType, ...]]
    """Equally frequent types for each grade, "HGG" and "LGG"."""
    sites: Sites
    scanner: Scanner
    findings: Optional[Findings]
    """None = nothing but the lesion."""


EASY = PhantomKind(
    name="easy",
    version=1,
    lesions={
        "HGG": (LesionType((26, 34), (0.5, 0.72), (0.45, 0.8), (-0.9, 0.1)),),
        "LGG": (LesionType((25, 31), (0.6, 0.78), None, (1.6, 3.0)),),
    },
    sites=Sites(heights=(4, 26), depth=0.75, further=(0.35,), distances=(22, 38)),
    scanner=Scanner(
        contrast=0.03,
        visibility=(1, 1),
        gamma=(1, 1),
        bias=(0.03, 0.07),
        noise=(0.010, 0.022),
        blur=(0, 0),
        thickness=(1,),
    ),
    findings=None,
)

VARIED = PhantomKind(
    name="varied",
    version=1,
    lesions={
        "HGG": (
            LesionType((22, 36), (0.5, 0.72), (0.45, 0.8), (-0.9, 0.1)),  # necrosis with a rim
            LesionType((20, 30), (0.65, 0.85), (0.8, 0.92), (-3.0, -1.5)),  # cyst, thin closed rim
            LesionType((24, 36), (0.22, 0.38), (0.0, 0.4), (-2.0, -0.5)),  # much oedema, small core
            LesionType((7, 12), (0.85, 0.97), None, (-3.0, -1.5)),  # enhancing nodule, no oedema
            LesionType((14, 26), (0.55, 0.85), None, (-1.2, 0.0)),  # solid, without necrosis
            LesionType((18, 30), (0.6, 0.85), (0.0, 0.3), (0.6, 1.6)),  # hardly enhancing
        ),
        "LGG": (
            LesionType((20, 31), (0.6, 0.78), None, (1.6, 3.0)),  # infiltrating
            LesionType((9, 16), (0.75, 0.95), None, (2.5, 4.0)),  # small, homogeneous
            LesionType((18, 28), (0.25, 0.5), None, (0.8, 1.8)),  # mostly bright in T2 and Flair
        ),
    },
    sites=Sites(heights=(-6, 36), depth=0.6, further=(0.4, 0.35), distances=(18, 60)),
    scanner=Scanner(
        contrast=0.08,
        visibility=(0.35, 1.15),
        gamma=(0.75, 1.35),
        bias=(0.03, 0.20),
        noise=(0.010, 0.050),
        blur=(0.0, 0.9),
        thickness=(1, 1, 1, 1, 3, 5),
    ),
    findings=Findings(
        cavity=0.25,
        cavity_radius=(6, 14),
        spots=(0, 24),
        spot_radius=(1.0, 3.0),
        vessels=(0.0, 1.0),
    ),
)
KINDS = {kind.name: kind for kind in (EASY, VARIED)}

# After an operation: a cavity beside what is left of the tumour; no part of BRATS' data.
POSTSURGICAL = EASY._replace(
    name="postsurgical",
    findings=Findings(
        cavity=1.0, cavity_radius=(8, 16), spots=(0, 4), spot_radius=(1.0, 2.0), vessels=(0.0, 0.3)
    ),
)

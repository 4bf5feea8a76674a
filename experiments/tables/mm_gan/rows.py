"""MM-GAN's Tables 1 and 2 and Figure 10 as data: rows, the paper's numbers, its claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.engine.table import Metric, Row, Table
from experiments.tables.mixing.rows import RANDOM, SYNTHETIC_FIRST, Mixture, choose_rows
from utils.errors import UserError
from utils.metrics.resampling import LEVEL

ALL, FINE_TUNED = "100R", "FT"
MIXTURES = (
    Mixture(ALL, 1, 0, 0, "-"),
    Mixture("10R", 0.1, 0, 0, "-"),
    Mixture("100F", 0, 1, 0, "-"),
    Mixture("100F+100R", 1, 1, 0, RANDOM),
    Mixture("300F+100R", 1, 3, 0, RANDOM),
    Mixture("500F+100R", 1, 5, 0, RANDOM),
    Mixture(FINE_TUNED, 0.1, 1, 0, SYNTHETIC_FIRST, first_share=0.5),
)
SEGMENTERS = {"unet": "3D U-Net", "cascade": "cascade"}
METRICS = (
    Metric(
        "dice",
        "Dice of each region in the patient's volume, mean ± standard deviation over the held-out "
        "patients; 0 where one is found that is not there",
        1,
        "Dice of held-out patients, mean over the regions (1 is perfect)",
        spread="dice_std",
    ),
    Metric("hd95", "95th percentile of the distances of its surfaces, mm", -1),
    Metric("missed", "share of the patients in which the region is not found at all: no HD95", -1),
)
_BRATS = {  # Dice and standard deviation of the whole tumour, its core, the enhancing tumour
    "unet_100R": (0.8722, 0.14, 0.7525, 0.24, 0.6638, 0.33),
    "unet_100F": (0.6539, 0.25, 0.5170, 0.28, 0.4117, 0.34),
    "unet_100F+100R": (0.8720, 0.14, 0.7621, 0.21, 0.6632, 0.33),
    "unet_300F+100R": (0.8875, 0.09, 0.7685, 0.20, 0.6618, 0.33),
    "unet_500F+100R": (0.8891, 0.10, 0.7674, 0.20, 0.6662, 0.32),
    "cascade_100R": (0.8989, 0.07, 0.8356, 0.16, 0.7349, 0.29),
    "cascade_100F": (0.5227, 0.30, 0.3763, 0.30, 0.3380, 0.31),
    "cascade_100F+100R": (0.8981, 0.07, 0.8249, 0.15, 0.7321, 0.28),
    "cascade_300F+100R": (0.8963, 0.08, 0.8298, 0.16, 0.7346, 0.28),
    "cascade_500F+100R": (0.8990, 0.08, 0.8305, 0.15, 0.7379, 0.27),
}
_LIVER = {  # of the lesions
    "unet_100R": (0.6856, 0.18),
    "unet_100F": (0.4166, 0.30),
    "unet_100F+100R": (0.6795, 0.19),
    "unet_300F+100R": (0.6903, 0.20),
    "unet_500F+100R": (0.6880, 0.18),
}


def row_key(segmenter: str, mixture: Mixture) -> str:
    """Returns the name of the row of a segmenter that learns from a mixture."""
    return f"{segmenter}_{mixture.no}"


def _rows(
    names: str, segmenters: Sequence[str], regions: Sequence[str], paper: Mapping, place: str
) -> tuple[Row, ...]:
    rows = []
    figures = [f"{region}/{figure}" for region in regions for figure in ("dice", "dice_std")]
    for segmenter in segmenters:
        for mixture in choose_rows(names, MIXTURES):
            key, title = row_key(segmenter, mixture), f"{SEGMENTERS[segmenter]}, {mixture.no}"
            printed = dict(zip(figures, paper.get(key, ())))
            rows.append(Row(key, title, printed, f"{place}, {title}" if place else ""))
    return tuple(rows)


def chosen(names: str, segmenters: str) -> dict[str, tuple[str, Mixture]]:
    """Returns segmenter and mixture of the rows that a configuration names, by key.

    Raises UserError for an unknown row or segmenter.
    """
    wanted = [name.strip() for name in segmenters.split(",")]
    unknown = [name for name in wanted if name not in SEGMENTERS]
    if unknown:
        raise UserError(
            f"--segmenters has {unknown[0]!r}; give some of {', '.join(SEGMENTERS)}, separated by "
            "commas"
        )
    pairs = [(one, row) for one in wanted for row in choose_rows(names, MIXTURES)]
    return {row_key(*pair): pair for pair in pairs}


def reference(key: str) -> str:
    """Returns the row of the same segmenter that learns from all real patients alone."""
    return f"{key.split('_')[0]}_{ALL}"


def claims(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns what each row's first region gains over the real patients alone, in sentences."""
    region, found = table.parts[0], []
    for row in table.rows:
        names = ("difference", "low", "high", "p")
        by, low, high, p = (table.value(figures, row.key, f"{region}/{name}") for name in names)
        if np.isfinite(by):
            text = f"{row.title}: {by:+.3f} ({low:+.3f} to {high:+.3f}) Dice of {region.upper()}"
            verdict = _verdict(row, low, high, p)
            found.append(f"{text} against {ALL}, p = {p:.3f} by sign flips; {verdict}.")
    return found


def _verdict(row: Row, low: float, high: float, p: float) -> str:
    if p < LEVEL and (low > 0 or high < 0):  # the interval of a few patients is too narrow
        return "better" if low > 0 else "worse"
    if row.key.endswith(FINE_TUNED):
        return "no difference was found, which does not prove that there is none"
    return "no difference was found"


_USUAL = "100R,100F,100F+100R,300F+100R,500F+100R"
_NOTE = "F are new patients, made from changed labels of training patients; 100F is as many as "
_NOTE += f"there are real ones, R. {FINE_TUNED}: first 100F, then a tenth of R. The generators "
_NOTE += "behind F have learned from all training patients, whatever share of R a row has."
_BRATS_REGIONS = ("wt", "tc", "et")
TABLE1 = Table(
    "table1_mm_gan",
    "MM-GAN, Table 1: segmentation with new patients",
    _rows(_USUAL, tuple(SEGMENTERS), _BRATS_REGIONS, _BRATS, "MM-GAN Table 1"),
    METRICS,
    _BRATS_REGIONS,
    f"{_NOTE} The paper's numbers are of the online validation set of BraTS 2017.",
    {"WT Dice": "wt/dice", "TC Dice": "tc/dice", "ET Dice": "et/dice"},
    claims,
)
TABLE2 = Table(
    "table2_mm_gan",
    "MM-GAN, Table 2: lesions of the liver with new patients",
    _rows(_USUAL, ("unet",), ("lesion",), _LIVER, "MM-GAN Table 2"),
    METRICS,
    ("lesion", "liver"),
    f"{_NOTE} The paper's numbers are of a private set of 100 patients.",
    {"lesion Dice": "lesion/dice"},
    claims,
)
FIGURE10 = Table(
    "figure10_mm_gan",
    "MM-GAN, Figure 10: new patients first, then a tenth of the real ones",
    _rows("100R,10R,100F,FT", tuple(SEGMENTERS), _BRATS_REGIONS, {}, ""),
    METRICS,
    _BRATS_REGIONS,
    f"{_NOTE} The paper prints no numbers; it says that {FINE_TUNED} is near 100R, far above 100F.",
    claims=claims,
)

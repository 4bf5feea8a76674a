"""SAMR Table 2 as data: its experiments, its rows and the paper's numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from experiments.engine.table import Metric, Row, Table
from models.samr.config import METHODS
from utils.errors import UserError

TITLES = {
    "pix2pix": "pix2pix",
    "pix2pixhd": "pix2pixHD",
    "shin": "Shin et al.",
    "samr": "SAMR",
    "without_stretch_out": "SAMR without stretch-out",
    "without_label_wise": "SAMR without label-wise discriminators",
    "without_atlas": "SAMR without atlas",
    "without_consistency": "SAMR without lesion-shape consistency",
}
RIVALS = ("pix2pix", "pix2pixhd", "shin")
ABLATIONS = tuple(name for name in METHODS if name.startswith("without"))
REAL = "real"
# Experiment -> the rows' methods, and made slices for each real one.
EXPERIMENTS: Mapping[str, tuple[Sequence[str], float]] = {
    "1": ((*RIVALS, "samr"), 1.0),
    "2": ((*RIVALS, "samr"), 0.5),
    "3": ((REAL,), 0.0),
    "4": ((*ABLATIONS, "samr"), 1.0),
}
FIGURES = ("dice", "hd95", "sensitivity", "specificity")  # of the paper
MEASURED = ("dice", "hd95", "missed", "sensitivity", "specificity")
# With BRATS, oedema is the only label in common.
PAPER_LABELS = ("oedema", "cavity", "tumour")
PAPER = {
    "real": (0.646, 0.613, 0.673, 8.816, 7.856, 7.078, 0.661, 0.576, 0.687, 0.996, 0.999, 0.998),
    "pix2pix_1": (
        *(0.589, 0.459, 0.562, 13.180, 21.003, 10.139),
        *(0.626, 0.419, 0.567, 0.995, 0.998, 0.999),
    ),
    "pix2pixhd_1": (
        *(0.599, 0.527, 0.571, 17.406, 8.606, 10.369),
        *(0.630, 0.494, 0.570, 0.996, 0.998, 0.999),
    ),
    "shin_1": (0.731, 0.688, 0.772, 7.306, 6.290, 6.294, 0.701, 0.662, 0.785, 0.997, 0.999, 0.999),
    "samr_1": (0.794, 0.813, 0.821, 6.049, 1.568, 2.293, 0.789, 0.807, 0.841, 0.997, 0.999, 0.999),
    "pix2pix_0.5": (
        *(0.602, 0.502, 0.569, 10.706, 9.431, 10.147),
        *(0.640, 0.463, 0.579, 0.995, 0.999, 0.998),
    ),
    "pix2pixhd_0.5": (
        *(0.634, 0.514, 0.663, 17.754, 9.512, 9.061),
        *(0.670, 0.472, 0.671, 0.996, 0.999, 0.999),
    ),
    "shin_0.5": (
        *(0.673, 0.643, 0.708, 14.835, 7.798, 6.688),
        *(0.664, 0.602, 0.733, 0.997, 0.999, 0.998),
    ),
    "samr_0.5": (
        *(0.745, 0.780, 0.772, 8.779, 6.757, 4.735),
        *(0.760, 0.788, 0.805, 0.997, 0.999, 0.999),
    ),
    "without_stretch_out_1": (
        *(0.684, 0.713, 0.705, 6.592, 5.059, 4.002),
        *(0.708, 0.699, 0.719, 0.997, 0.999, 0.999),
    ),
    "without_label_wise_1": (
        *(0.753, 0.797, 0.785, 7.844, 2.570, 2.719),
        *(0.735, 0.780, 0.783, 0.998, 0.999, 0.999),
    ),
    "without_atlas_1": (
        *(0.677, 0.697, 0.679, 13.909, 11.481, 7.123),
        *(0.691, 0.689, 0.723, 0.997, 0.999, 0.998),
    ),
    "without_consistency_1": (
        *(0.728, 0.795, 0.771, 8.604, 3.024, 3.233),
        *(0.738, 0.777, 0.777, 0.997, 0.999, 0.999),
    ),
}


def row_key(method: str, share: float) -> str:
    """Returns the name of a method's row with so many made slices for each real one."""
    return REAL if method == REAL else f"{method}_{share:g}"


def _rows() -> tuple[Row, ...]:
    rows: dict[str, Row] = {}
    for number, (methods, share) in EXPERIMENTS.items():
        for method in methods:
            key = row_key(method, share)
            if key in rows:
                continue
            places = [(figure, label) for figure in FIGURES for label in PAPER_LABELS]
            paper = {f"{label}/{figure}": v for (figure, label), v in zip(places, PAPER[key])}
            title = "real alone" if method == REAL else f"real + {share:.0%} {TITLES[method]}"
            place = f"SAMR Table 2, experiment {number}, {title}"
            rows[key] = Row(key, title, paper, place)
    return tuple(rows.values())


TABLE = Table(
    "table2_samr",
    "SAMR, Table 2: segmentation with slices made of changed labels",
    rows=_rows(),
    metrics=(
        Metric("dice", "Dice of each lesion label in the patient's volume", 1),
        Metric("hd95", "95th percentile of its surfaces' distances, mm", -1),
        Metric("missed", "share of them that the segmenter did not find at all: no HD95", -1),
        Metric("sensitivity", "share of its voxels that are found", 1),
        Metric("specificity", "share of the other voxels that are left alone", 1),
    ),
    parts=PAPER_LABELS,
    paper_note="Means over the held-out patients; in the first table over the lesion labels too. "
    "The paper's numbers are of 90 patients of its own, with the labels oedema, cavity and tumour.",
    ledger={"oedema Dice": "oedema/dice", "mean Dice": "dice"},
)


def chosen_rows(experiments: str, rivals: str = ",".join(RIVALS)) -> dict[str, tuple[str, float]]:
    """Returns method and share of the rows of some experiments, by key.

    Raises UserError for an unknown experiment, or a rival that is none.
    """
    names, others = _chosen("experiments", experiments, EXPERIMENTS), set(RIVALS)
    others -= set(_chosen("rivals", rivals, RIVALS))
    rows = {}
    for name in sorted(names, key=lambda name: name != "3"):  # real alone first: all compare
        methods, share = EXPERIMENTS[name]
        chosen = (method for method in methods if method not in others)
        rows.update({row_key(method, share): (method, share) for method in chosen})
    return rows


def _chosen(option: str, words: str, known: Collection[str]) -> list[str]:
    names = [name.strip() for name in words.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"--{option} has {unknown[0]!r}; give some of {', '.join(known)}, separated by commas"
        )
    return names

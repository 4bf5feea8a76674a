"""Rows, metrics and findings of the thesis' Tables 2 and 3; each data set has rows of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from data.contract import DataSet
from experiments.engine.table import Metric, Row, Table
from utils.metrics.features import INCEPTION_EXTRACTOR, TEXTURE_EXTRACTOR, TEXTURE_FEATURE_NAMES
from utils.metrics.images import ms_ssim_name
from utils.metrics.quality import HALF

SIMILARITY, FID = "ms_ssim_*_similarity", "frechet_inception"
DEFINITIONS = {
    SIMILARITY: "MS-SSIM of random pairs of an image of the set and a held-out one, both drawn "
    "independently. The thesis' metric (it pairs two directory listings); there, higher is better. "
    "The mark to meet is the real row; smooth images, or a collapsed set of typical ones, can "
    "exceed it",
    "ms_ssim_*_diversity": "MS-SSIM of random pairs of different images of the set (real: of "
    "different patients, if there are several); lower is more diverse, the mark to meet is the "
    "real row",
    "frechet_texture": "Frechet distance of texture features to held-out images (not FID), lower "
    f"is nearer; extractor {TEXTURE_EXTRACTOR}, {len(TEXTURE_FEATURE_NAMES)} features in units of "
    "the held-out images' deviations",
    "kernel_texture": "kernel distance (unbiased squared MMD, mean over subsets) of the same "
    "features; lower is nearer, equal distributions give 0 on average",
    FID: f"FID of the extractor {INCEPTION_EXTRACTOR}; lower is nearer. Not the network of the "
    "thesis' FID: the values do not compare",
    "kernel_inception": "kernel distance (KID) of the same features; lower is nearer",
}
TITLES = {
    "real": "real (training patients)",
    "ours": "Ours",
    "skrgan_star": "SkrGAN*",
    "gan_sharp": "GAN#",
    "dcgan": "DCGAN",
    "acgan": "ACGAN",
    "wgan": "WGAN",
    "wgan_gp": "WGAN-GP",
    "pggan": "PGGAN",
    "real_tumour": "real, tumour crops",
    "ours_tumour": "Ours+ (tumour crops)",
}
COMPARED = tuple(key for key in TITLES if key != "real" and not key.endswith("_tumour"))
# What the thesis prints, MS-SSIM and FID, by data set and row.
TABLE2_NUMBERS = {
    "chest_xray": (
        "chest X-ray",
        {
            "ours": (0.597, 102.5),
            "skrgan_star": (0.506, 114.6),
            "dcgan": (0.269, 260.3),
            "acgan": (0.301, 235.2),
            "wgan": (0.401, 300.7),
            "pggan": (0.493, 124.2),
        },
    ),
    "lung_ct": (
        "lung CT",
        {
            "ours": (0.473, 66.91),
            "skrgan_star": (0.359, 79.97),
            "dcgan": (0.199, 285.0),
            "acgan": (0.235, 222.5),
            "wgan": (0.277, 349.1),
            "pggan": (0.328, 91.89),
        },
    ),
}
TABLE3_NUMBERS = {
    "retina": (
        "colour fundus",
        {"ours": (0.607, 30.13), "skrgan_star": (0.584, 37.91), "gan_sharp": (0.392, 227.41)},
    ),
    "brats": (
        "BRATS MRI",
        {
            "ours": (0.727, 22.27),
            "skrgan_star": (0.713, 28.46),
            "gan_sharp": (0.561, 104.53),
            "ours_tumour": (0.738, 21.15),
        },
    ),
    "tianchi_ct": (
        "Tianchi CT",
        {"ours": (0.676, 27.40), "skrgan_star": (0.667, 29.81), "gan_sharp": (0.592, 93.65)},
    ),
}


def key_of(dataset: str, row: str) -> str:
    """Returns the key of a data set's row, such as brats/ours."""
    return f"{dataset}/{row}"


def _rows(place: str, numbers: Mapping[str, tuple[str, Mapping[str, tuple]]]) -> list[Row]:
    rows = []
    for dataset, (name, published) in numbers.items():
        for key, title in TITLES.items():
            if key.endswith("_tumour") and dataset != "brats":
                continue
            printed = dict(zip((SIMILARITY, FID), published.get(key, ())))
            where = f"{place}, {name}, {title}" if key in published else ""
            rows.append(Row(key_of(dataset, key), title, printed, where))
    return rows


def findings(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns a sentence per metric: the order of the systems, and if it is the thesis'.

    "Best" is the highest similarity, the diversity nearest to that of real images, and the smallest
    distance. The thesis' order is that of its FID.
    """
    rows = {row.key.split("/")[-1]: row for row in table.rows}
    compared = [key for key in COMPARED if key in rows and table.measured(figures, rows[key].key)]
    published = sorted(
        (key for key in compared if FID in rows[key].paper), key=lambda key: rows[key].paper[FID]
    )
    sentences = []
    for name in (metric.key for metric in table.metrics if not metric.whole):
        value = {key: table.value(figures, rows[key].key, name) for key in (*compared, "real")}
        if name.endswith("similarity"):
            cost = {key: -value[key] for key in compared}
        elif name.endswith("diversity"):
            cost = {key: abs(value[key] - value["real"]) for key in compared}
        else:
            cost = {key: value[key] for key in compared}
        order = sorted(compared, key=cost.get)
        found = ", ".join(f"{rows[key].title} {value[key]:.3g}" for key in order)
        same = [key for key in order if key in published] == published
        verdict = "the thesis' order" if same else "not the thesis' order"
        sentences.append(f"{name}: best to worst {found} (real {value['real']:.3g}); {verdict}.")
    return sentences


def _table(key: str, number: int, numbers: Mapping, note: str) -> Table:
    return Table(
        key,
        f"Table {number}: quality of synthetic images",
        rows=_rows(f"thesis Table {number}", numbers),
        metrics=(),  # their names depend on the size of the images, see `measured_table`
        paper_note=f"The thesis' numbers are MS-SSIM (to real) and FID {note}: compare the order, "
        "not the values.",
        ledger={"MS-SSIM": SIMILARITY, "FID": FID, "Frechet texture distance": "frechet_texture"},
        claims=findings,
    )


TABLE2 = _table(
    "table2",
    2,
    TABLE2_NUMBERS,
    "of real data at another size and with another extractor; those of all rivals are quoted there "
    "from the paper of SkrGAN, whose maps come from a network of their own",
)
TABLE3 = _table(
    "table3", 3, TABLE3_NUMBERS, "of real data at another size and with another extractor"
)


def measured_table(
    table: Table, dataset: DataSet, size: tuple[int, int], extractors: Iterable[str]
) -> Table:
    """Returns the table of one data set, with its rows, parts and metrics.

    Args:
        table: `TABLE2` or `TABLE3`.
        dataset: its images are compared.
        size: height and width of the images, which limit the number of scales of MS-SSIM.
        extractors: names of the feature extractors.
    """
    scales = ms_ssim_name(*size)
    names = [f"{scales}_similarity", f"{scales}_diversity"]
    names += [f"{kind}_{name}" for name in extractors for kind in ("frechet", "kernel")]
    metrics = [
        Metric("images", "number of images, or of their crops", whole=True),
        Metric("held_out", "number of those that they are compared with", whole=True),
        *(
            Metric(
                name,
                DEFINITIONS[name.replace(scales, "ms_ssim_*")],
                spread="" if name.startswith("kernel") else f"{name}{HALF}",
            )
            for name in names
        ),
    ]
    rows = [row for row in table.rows if row.key.startswith(key_of(dataset.name, ""))]
    parts = judged_channels(dataset)
    return replace(table, rows=rows, metrics=metrics, parts=parts if len(parts) > 1 else ())


def judged_channels(dataset: DataSet) -> Sequence[str]:
    """Returns the channels that are compared: all, or of neighbouring slices the middle one."""
    if dataset.map_channels == 1:
        return dataset.channels
    middle = len(dataset.channels) // 2
    return dataset.channels[middle : middle + 1]


def by_channel(figures: Mapping[str, np.ndarray], channels: Sequence[str]) -> dict[str, float]:
    """Returns the means of metrics that are given per channel [M], and of several each value."""
    means = {name: float(values.mean()) for name, values in figures.items()}
    parts = {
        f"{channel}/{name}": float(value)
        for name, values in figures.items()
        for channel, value in zip(channels, values)
    }
    return {**means, **(parts if len(channels) > 1 else {})}

"""The rows of experiments/ledger.md as data: which metrics belong to which cells of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Optional

from experiments import (
    table1_ablation,
    table1_tc_mgan,
    table2_tc_mgan,
    table3_quality,
    table4_lesion_validity,
    table5_mixing,
)
from experiments.engine.cli import Script
from experiments.tables.ablation.arms import ORDERS
from experiments.tables.ablation.measures import MEASURES
from experiments.tables.mixing.rows import ROWS as MIXTURES
from experiments.tables.quality.table import THESIS as QUALITY
from experiments.tables.quality.table import TITLES as SYSTEMS
from models.tc_mgan.modalities import TARGETS


@dataclass(frozen=True)
class Cell:
    """One number of a row.

    Attributes:
        name: of the metric.
        key: in metrics.json; `*` stands for any characters.
        paper: the paper's value, None if it prints none.
    """

    name: str
    key: str
    paper: Optional[float] = None


@dataclass(frozen=True)
class LedgerRow:
    """One row of the ledger: cells of a paper's table that one experiment fills.

    Attributes:
        experiment: prefix of the keys, such as table5.
        script: that makes it.
        place: the paper's table and row.
        cells: its numbers.
        options: values of the script's own options that give this row.
        paper: words in place of the paper's numbers, where it prints none.
    """

    experiment: str
    script: Script
    place: str
    cells: tuple[Cell, ...]
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    paper: str = "-"


def _table1() -> list[LedgerRow]:
    places = {"thesis": "", "released": " of the code's order"}
    return [
        LedgerRow(
            "table1",
            table1_ablation.SCRIPT,
            f"thesis Table 1, {arm.letter}{places[order]}",
            tuple(Cell(name, f"table1/{order}/{arm.letter}/{name}") for name in MEASURES),
            {"order": order, "arms": arm.letter},
            "bars without numbers (Fig. 13)",
        )
        for order, arms in ORDERS.items()
        for arm in arms
    ]


def _table3() -> list[LedgerRow]:
    rows = []
    for system, (similarity, fid) in QUALITY.items():
        prefix = f"table3/{system}"
        cells = (
            Cell("MS-SSIM", f"{prefix}/ms_ssim_*_similarity", similarity),
            Cell("FID", f"{prefix}/frechet_inception", fid),
            Cell("Frechet texture distance", f"{prefix}/frechet_texture"),
        )
        place = f"thesis Table 3, BRATS MRI, {SYSTEMS[system]}"
        rows.append(LedgerRow("table3", table3_quality.SCRIPT, place, cells))
    return rows


def _table4() -> list[LedgerRow]:
    rows = []
    for data, (error, dice) in table4_lesion_validity.THESIS.items():
        cells = (
            Cell("MSE", f"table4/{data}/legacy_mse", error),
            Cell("Dice", f"table4/{data}/legacy_dice", dice),
        )
        script = table4_lesion_validity.SCRIPT
        rows.append(LedgerRow("table4", script, f"thesis Table 4, {data}", cells))
    return rows


def _table5() -> list[LedgerRow]:
    rows = []
    for mixture in MIXTURES:
        prefix = f"table5/{mixture.name}"
        cells = (
            Cell("MSE", f"{prefix}/mse", mixture.thesis_mse),
            Cell("Dice", f"{prefix}/dice", mixture.thesis_dice),
        )
        words = {"rows": mixture.no}
        place, paper = f"thesis Table 5, {mixture.no}: {mixture.describe()}", LedgerRow.paper
        if mixture.thesis_dice is None:
            place, paper = (
                f"control {mixture.no}: {mixture.describe()}",
                "control, not in the thesis",
            )
        row = LedgerRow("table5", table5_mixing.SCRIPT, place, cells, words, paper)
        rows.append(row)
    return rows


def _table1_tc_mgan() -> list[LedgerRow]:
    rows = []
    for variant, figures in table1_tc_mgan.PAPER.items():
        cells = tuple(
            Cell(
                f"{modality} {name}",
                f"table1_tc_mgan/{variant}/{modality}/{figure}",
                figures[figure][i],
            )
            for i, modality in enumerate(TARGETS)
            for name, figure in (("PSNR", "psnr"), ("SSIM", "ssim_range2"))
        )
        place = f"TC-MGAN Table 1, {table1_tc_mgan.TITLES[variant]} (SSIM with data range 2)"
        rows.append(LedgerRow("table1_tc_mgan", table1_tc_mgan.SCRIPT, place, cells))
    return rows


def _table2_tc_mgan() -> list[LedgerRow]:
    rows = []
    for name, title in table2_tc_mgan.ROWS.items():
        dice, spread = table2_tc_mgan.PAPER[name]
        key = f"table2_tc_mgan/{name}/dice"
        cells = Cell("Dice", key, dice), Cell("standard deviation", f"{key}_std", spread)
        place = f"TC-MGAN Table 2, {title}"
        rows.append(LedgerRow("table2_tc_mgan", table2_tc_mgan.SCRIPT, place, cells))
    return rows


ROWS = (
    *(*_table1(), *_table3(), *_table4(), *_table5()),
    *(*_table1_tc_mgan(), *_table2_tc_mgan()),
)

"""The rows of experiments/ledger.md as data: which metrics belong to which cells of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Optional

from experiments import table1_ablation, table3_quality, table4_lesion_validity, table5_mixing
from experiments.launch import Script
from experiments.mixing.rows import ROWS as MIXTURES
from experiments.stages.ablation_measures import MEASURES
from experiments.stages.arms import ORDERS
from experiments.stages.quality_table import THESIS as QUALITY
from experiments.stages.quality_table import TITLES as SYSTEMS


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


ROWS = (*_table1(), *_table3(), *_table4(), *_table5())

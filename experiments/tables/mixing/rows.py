"""The rows of the thesis' Table 5 as data, and control rows that the thesis lacks.

The early paper's Table 2 has the same rows under other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

from data.synthetic_sets.mixing import Phase, Sources, pool
from utils.errors import UserError

KINDS = ("real", "synthetic", "augmented", "pasted")
RANDOM, SYNTHETIC_FIRST, REAL_FIRST = "random", "synthetic first", "real first"


@dataclass(frozen=True)
class Mixture:
    """One training set and the order in which it is presented.

    Attributes:
        no: number in the thesis; c10, c20 and cm are controls.
        real, synthetic, augmented: amounts, in multiples of the real training set.
        pasted: likewise, slices with another patient's lesion, see `data.synthetic_sets.pasting`.
        mode: random, synthetic first, real first, or "-" for a single source.
        thesis_mse, thesis_dice: what the thesis prints (BRATS 2015), None for the controls.
        first_share: fraction of the training that the first source of a "first" mode gets.
    """

    no: str
    real: float
    synthetic: float
    augmented: float
    mode: str
    thesis_mse: Optional[float] = None
    thesis_dice: Optional[float] = None
    first_share: float = 1.0
    pasted: float = 0

    @property
    def name(self) -> str:
        """The row's name in files and metrics, such as row_07."""
        return f"row_{self.no.zfill(2)}"

    @property
    def added(self) -> float:
        """Fraction of slices that are not real ones as they are in the training set, 0..1."""
        extra = self.synthetic + self.augmented + self.pasted
        return extra / (self.real + extra)

    def describe(self) -> str:
        """Names the mixture, such as "10 % real + 200 % synthetic, synthetic first"."""
        parts = [(name, getattr(self, name)) for name in KINDS]
        mixture = " + ".join(f"{100 * amount:g} % {name}" for name, amount in parts if amount)
        return mixture if self.mode == "-" else f"{mixture}, {self.mode}"

    def phases(self, sources: Sources, examples: int) -> list[Phase]:
        """Returns the stretches of a training that presents so many examples in all."""
        if self.mode not in (SYNTHETIC_FIRST, REAL_FIRST):
            amounts = {name: getattr(self, name) for name in KINDS}
            return [Phase(pool(sources, **amounts), examples)]
        pools = [pool(sources, real=self.real), pool(sources, synthetic=self.synthetic)]
        first, second = pools if self.mode == REAL_FIRST else reversed(pools)
        start = round(self.first_share * examples)
        return [Phase(first, start), Phase(second, examples - start)]


ROWS = (
    Mixture("1", 1.0, 0, 0, "-", 0.026, 0.915),
    Mixture("2", 0.5, 0, 0, "-", 0.032, 0.902),
    Mixture("3", 0, 1, 0, "-", 0.205, 0.708),
    Mixture("4", 0, 2, 0, RANDOM, 0.206, 0.736),
    Mixture("5", 0, 3, 0, RANDOM, 0.205, 0.754),
    # 90 % of the training on synthetic slices: the released code's numbers of epochs. The thesis'
    # text divides in proportion to the amounts (91, 95 and 97 %).
    Mixture("6", 0.1, 1, 0, SYNTHETIC_FIRST, 0.031, 0.908, first_share=0.9),
    Mixture("7", 0.1, 2, 0, SYNTHETIC_FIRST, 0.028, 0.907, first_share=0.9),
    Mixture("8", 0.1, 3, 0, SYNTHETIC_FIRST, 0.030, 0.907, first_share=0.9),
    Mixture("9", 0.2, 0.8, 0, RANDOM, 0.041, 0.850),
    Mixture("10", 0.5, 0.5, 0, RANDOM, 0.031, 0.904),
    Mixture("11", 0.8, 0.2, 0, RANDOM, 0.024, 0.935),
    Mixture("12", 1, 0.2, 0, RANDOM, 0.025, 0.921),
    Mixture("13", 1, 0.5, 0, RANDOM, 0.023, 0.939),
    Mixture("14", 1, 0.8, 0, RANDOM, 0.026, 0.916),
    Mixture("15", 1, 1, 0, RANDOM, 0.027, 0.913),
    Mixture("16", 1, 2, 0, RANDOM, 0.033, 0.901),
    Mixture("17", 1, 3, 0, RANDOM, 0.034, 0.897),
    Mixture("18", 1, 0, 0.2, RANDOM, 0.027, 0.911),
    Mixture("19", 1, 0, 0.5, RANDOM, 0.025, 0.927),
    Mixture("20", 1, 0, 0.8, RANDOM, 0.026, 0.920),
    Mixture("21", 1, 0, 1, RANDOM, 0.026, 0.915),
    Mixture("22", 1, 0, 2, RANDOM, 0.032, 0.898),
    Mixture("23", 1, 0, 3, RANDOM, 0.036, 0.885),
    Mixture("24", 1, 1, 0, REAL_FIRST, 0.195, 0.795, first_share=0.5),
    Mixture("25", 1, 1, 0, SYNTHETIC_FIRST, 0.021, 0.940, first_share=0.5),
    Mixture("c10", 0.1, 0, 0, "-"),
    Mixture("c20", 0.2, 0, 0, "-"),
)


class Paper(NamedTuple):
    """A paper's table of these rows.

    Attributes:
        key: prefix of its metrics, and name of its files.
        name: of the paper and the table, such as "thesis Table 5".
        rows: with the paper's numbers.
        numbers: from the thesis' number to the paper's.
    """

    key: str
    name: str
    rows: tuple[Mixture, ...]
    numbers: Mapping[str, str]

    @property
    def title(self) -> str:
        """Heading of the page, such as "Table 5: real, ... training data"."""
        table = self.name[self.name.index("Table") :]
        return f"{table}: real, synthetic and augmented training data"

    def in_thesis(self, no: str) -> str:
        """Returns the thesis' number of a row."""
        return next(thesis for thesis, own in self.numbers.items() if own == no)


def _paper(key: str, name: str, numbers: Sequence[object]) -> Paper:
    shown = dict(zip((row.no for row in ROWS), [*map(str, numbers), "c10", "c20"]))
    return Paper(key, name, tuple(replace(row, no=shown[row.no]) for row in ROWS), shown)


THESIS = _paper("table5", "thesis Table 5", range(1, 26))
EARLY = _paper(
    "table2_early",
    "early paper Table 2",
    (1, 31, 2, 3, 4, 7, 8, 9, 13, 12, 14, 32, 33, 34, 15, 18, 19, 35, 36, 37, 22, 23, 24, 16, 17),
)

# Copy-paste: what a method without any network gains.
COPY_PASTE = Mixture("cm", 1, 0, 0, RANDOM, pasted=1.0)
# With few patients a part of the real data is no row of its own: the number of patients is.
FEW_PATIENTS_ROWS = (
    *(row for row in ROWS if row.no in ("1", "3", "13", "15", "21", "24", "25")),
    COPY_PASTE,
)


def choose_rows(words: str, rows: Sequence[Mixture] = ROWS) -> list[Mixture]:
    """Returns those of some rows that `--rows` names, in order: "all" or such as "1,3,c10".

    Raises UserError for an unknown row or none.
    """
    names = [word.strip() for word in words.split(",") if word.strip()]
    known = [row.no for row in rows]
    unknown = [name for name in names if name not in known]
    if words.strip() == "all":
        return list(rows)
    if unknown or not names:
        raise UserError(f"--rows is {words!r}; give all, or some of {','.join(known)}")
    return [row for row in rows if row.no in names]

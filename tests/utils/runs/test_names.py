from __future__ import annotations

import pandas as pd
import pytest

from utils.reporting.charts import new_figure, save_figure
from utils.reporting.tables import markdown_table, page
from utils.runs.names import plain_name, printable


@pytest.mark.parametrize(
    "name", ["BraTS 2020", "naïve-患者_1 (b)", "brats_2013_pat0001_1", "e\u0301"]
)
def test_usual_names_stay(name):
    assert plain_name(name) == printable(name) == name


@pytest.mark.parametrize("letter", ["\x1b", "\r", "\t", "\n", "\0", "\x9b", "\u202e", "\u2028"])
def test_what_a_terminal_obeys_is_replaced(letter):
    assert printable(f"a{letter}b") == plain_name(f"a{letter}b") == "a\ufffdb"
    assert printable(f"a{letter}b", kept=letter) == f"a{letter}b"


def test_what_pages_obey_is_replaced():
    assert plain_name("<b onclick='x'>") == "_b onclick=_x__"
    assert plain_name("[a](http://b)|`*~\\c") == "_a_(http://b)_____c"


@pytest.mark.parametrize("name", ["$\\frac", "$a$", "{", "\\mathrm{"])
def test_a_chart_draws_a_plain_name_as_it_is(tmp_path, name):
    figure = new_figure(2, 2)
    figure.suptitle(plain_name(name))
    save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 100


def test_a_plain_name_cannot_leave_its_cell():
    name = plain_name("a\\|b\n| c")
    table = page([markdown_table(pd.DataFrame({"name": [name]}))])
    assert table.splitlines()[-1] == "| a__b\ufffd_ c |"

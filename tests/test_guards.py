"""The table of guards fits the source and the fault table; `tests/guards.py` tries the guards."""

from __future__ import annotations

import pytest

from tests.experiments.test_fault_table import ELSEWHERE, REFUSED
from tests.guard_table import REFUSALS
from tests.guards import GUARDS
from utils.runs.environment import REPOSITORY

# Rows with a test that no line of the source makes pass, and why.
WITHOUT = {
    62: "the guard is a sentence of the documentation, which the test looks for",
}


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.row}: {guard.name}")
def test_a_guard_stands_in_the_source_once_and_has_tests_of_its_row(guard):
    text = (REPOSITORY / guard.file).read_text(encoding="utf-8")
    assert text.count(guard.text) == 1 and guard.text != guard.replacement
    names = [fault.name for fault in REFUSED if fault.number == guard.row]
    known = {f"{REFUSALS}[{guard.row}: {name}]" for name in names}
    known |= {f"tests/{place}" for place in ELSEWHERE.get(guard.row, ())}
    assert guard.tests and {t if t in known else t.partition("[")[0] for t in guard.tests} <= known


def test_every_row_has_a_guard_or_a_reason():
    rows = {fault.number for fault in REFUSED} | set(ELSEWHERE)
    guarded = {guard.row for guard in GUARDS}
    assert rows == guarded | set(WITHOUT) and not guarded & set(WITHOUT)


def test_every_bad_data_set_has_a_guard():
    tried = {test for guard in GUARDS for test in guard.tests}
    names = {f"{REFUSALS}[{fault.number}: {fault.name}]" for fault in REFUSED}
    assert names <= tried

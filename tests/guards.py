"""Takes the guards of the fault table out of a copy of the source, one by one.

    python tests/guards.py [ROW ...]

Every test that `tests.guard_table` names for a guard has to pass with it and to fail without it.
The exit code is 1 if one stands. This repository itself is not changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from tests.guard_table import BAD_CASES, BAD_FILES, Guard  # noqa: E402
from tests.guard_table_around import AROUND  # noqa: E402
from tests.guard_table_training import TRAINING  # noqa: E402

OPTIONS = ("-q", "--tb=no", "-p", "no:cacheprovider")
MOST_SECONDS = 300
GUARDS = (*BAD_FILES, *BAD_CASES, *TRAINING, *AROUND)


def copied(folder: Path) -> Path:
    """Copies the files that git knows, or would add, and returns the folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TOP / name, folder / name)
    return folder


def failed(copy: Path, tests: Sequence[str]) -> set[str]:
    """Returns those of some tests of which a case fails in a copy of the repository."""
    first = ("-x",) if len(tests) == 1 else ()  # one case that fails is enough
    command = [sys.executable, "-m", "pytest", *OPTIONS, *first, *tests]
    words = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # equal sizes and times mislead Python
    done = subprocess.run(
        command, cwd=copy, env=words, capture_output=True, text=True, timeout=MOST_SECONDS
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    lines = re.findall(r"^(?:FAILED|ERROR) (tests/.*)$", done.stdout, re.MULTILINE)
    return {test for test in tests if any(line.startswith(test) for line in lines)}


def standing(copy: Path, guard: Guard) -> list[str]:
    """Returns the tests of a guard that pass without it; SystemExit if its text is not there."""
    file = copy / guard.file
    whole = file.read_text(encoding="utf-8")
    if whole.count(guard.text) != 1:
        raise SystemExit(f"{guard.file} holds {whole.count(guard.text)} times:\n{guard.text}")
    file.write_text(whole.replace(guard.text, guard.replacement), encoding="utf-8")
    try:
        fallen = failed(copy, guard.tests)
    finally:
        file.write_text(whole, encoding="utf-8")
    return [test for test in guard.tests if test not in fallen]


def main(rows: Sequence[str]) -> int:
    """Tries the guards of some rows, by default of all; returns the exit code."""
    guards = [guard for guard in GUARDS if not rows or str(guard.row) in rows]
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        broken = failed(copy, sorted({test for guard in guards for test in guard.tests}))
        if broken:
            raise SystemExit(f"these fail already with all guards: {', '.join(sorted(broken))}")
        stand = 0
        for guard in guards:
            left = standing(copy, guard)
            stand += bool(left)
            verdict = f"STANDS: {', '.join(left)}" if left else "falls"
            print(f"{guard.row:2}  {guard.name}: {verdict}", flush=True)
    return int(stand > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

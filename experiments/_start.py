"""The start of every script: this repository first on the path, supported versions, TensorFlow.

A script imports it first of all, before any other package called `utils` or `data` can be found.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.runs.environment import prepare_tensorflow, require_supported_versions  # noqa: E402

# Which would wait seconds for what they do not use.
WITHOUT_TENSORFLOW = ("verify_data.py", "view.py")

require_supported_versions()
if Path(sys.argv[0]).name not in WITHOUT_TENSORFLOW:
    prepare_tensorflow()

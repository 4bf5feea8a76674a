"""Paint a lesion on a page in your browser and see four registered modalities answer.

    python experiments/paint.py
    python experiments/paint.py --run RUN

RUN is a finished run of experiments/train_brats.py, or an archive of its networks
(experiments/publish_weights.py); default: the networks that come with the project, which learned
from the phantom. The page is on this machine alone, http://127.0.0.1:8081/, needs no network, and
nothing that is painted is kept. It draws slices of random brains; beside each modality stand the
outline of what the run's segmenter finds there and its Dice with what was painted. What it shows is
not for diagnosis.
"""

from __future__ import annotations

import _start

import sys
from pathlib import Path

from experiments.engine.pages import page_routes
from experiments.engine.published import PHANTOM, run_folder
from experiments.systems.structure_gan.painting import painter_of
from utils.config import Parser
from utils.runs.exits import exit_code
from utils.serving.starting import add_server_options, check_server_options, serve

PORT = 8081


def main() -> None:
    """Loads the networks and serves the page until Ctrl-C."""
    parser = Parser(prog="python experiments/paint.py", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--run", type=Path, default=Path(PHANTOM), help="run of train_brats.py, or its archive"
    )
    add_server_options(parser, PORT)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    check_server_options(options)
    serve([*page_routes("paint"), *painter_of(run_folder(options.run)).routes()], options)


def _after_interrupt() -> str:
    return "the page is closed and nothing was written"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

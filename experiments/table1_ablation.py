"""Thesis Table 1, Fig. 12 and 13: what each part of the main system contributes.

    python experiments/table1_ablation.py --run RUN                  # RUN: a finished main run
    python experiments/table1_ablation.py --run RUN --order both     # and the released code's order
    python experiments/table1_ablation.py --run RUN --arms A,F

Stages: train (the arms that are not trained yet) -> table (measure and draw the trained ones).
The arms are data in experiments/tables/ablation/arms.py. Source: Yili Qu, master thesis, 5.3.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import numpy as np
import tensorflow as tf

from experiments.configs.table1 import PRESETS
from experiments.engine.cli import Launch, Option, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, open_evidence
from experiments.systems.structure_gan.evaluation import SliceSet
from experiments.tables.ablation.arms import LETTERS, NOISE, ORDERS, Arm, arm_run_config, first_twin
from experiments.tables.ablation.measures import Judge
from experiments.tables.ablation.table import (
    DEVIATIONS,
    REAL,
    ablation_frame,
    bar_chart,
    striking,
    strip,
    table_text,
)
from experiments.tables.ablation.training import Ablation, judged_slices
from utils.errors import UserError
from utils.reporting.charts import save_figure
from utils.reporting.pictures import write_png
from utils.reporting.tables import write_table
from utils.runs.run_directory import RunDirectory
from utils.training.trainer import Schedule

BOTH = "both"
SCRIPT = Script(
    "experiments/table1_ablation.py",
    __doc__.split("\n")[0],
    PRESETS,
    stages=("train", "table"),
    reads_run=True,
    options=(
        Option("order", str, "thesis", "thesis, released or both"),
        Option("arms", str, "all", "letters such as A,F, or all"),
    ),
)


def chosen_arms(order: str, letters: str) -> list[tuple[str, Arm]]:
    """Returns pairs (order, arm) for the options `--order` and `--arms`; UserError for others."""
    if order not in (*ORDERS, BOTH):
        raise UserError(f"--order is {order!r}; choose from {', '.join((*ORDERS, BOTH))}")
    wanted = LETTERS if letters == "all" else [word.strip() for word in letters.split(",")]
    unknown = [letter for letter in wanted if letter not in LETTERS]
    if unknown:
        raise UserError(f"--arms is {letters!r}; choose from {', '.join(LETTERS)}, or all")
    orders = ORDERS if order == BOTH else {order: ORDERS[order]}
    return [(name, arm) for name, arms in orders.items() for arm in arms if arm.letter in wanted]


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Runs the chosen stages on the chosen arms, or prints the plan."""
    arms = chosen_arms(launch.options["order"], launch.options["arms"])
    source = open_evidence(launch, run, strategy)
    if source is None:
        print("arms:", ", ".join(f"{order} {arm.letter}" for order, arm in arms))
        return
    ablation = Ablation(source, run, launch.config)
    with Stopwatch(run, "table1"):
        if "train" in launch.stages:
            for order, arm in arms:
                ablation.train(order, arm)
        if run.writes and "table" in launch.stages:
            alone = replace(source, strategy=tf.distribute.get_strategy())
            ablation = replace(ablation, source=alone)
            write_outputs(launch, ablation, table_arms(ablation, arms))


def table_arms(ablation: Ablation, chosen: Sequence[tuple[str, Arm]]) -> list[tuple[str, Arm]]:
    """Returns the chosen arms and all that are finished of their orders and of earlier tables."""
    earlier = ablation.run.read_metrics()
    orders = {order for order, _ in chosen}
    orders |= {x for x in ORDERS if any(key.startswith(f"table1/{x}/") for key in earlier)}
    pairs = [(order, arm) for order in ORDERS if order in orders for arm in ORDERS[order]]
    return [pair for pair in pairs if pair in chosen or ablation.finished(*pair)]


def _command(launch: Launch, arms: Sequence[tuple[str, Arm]]) -> str:
    """Returns the command that gives these arms, however many starts it took."""
    orders, letters = ({pair[0] for pair in arms}, {arm.letter for _, arm in arms})
    chosen = "all" if letters == set(LETTERS) else ",".join(sorted(letters))
    order = BOTH if len(orders) > 1 else min(orders)
    return command(SCRIPT, launch, order=order, arms=chosen)


def write_outputs(launch: Launch, ablation: Ablation, arms: Sequence[tuple[str, Arm]]) -> None:
    """Measures the arms and writes table1.{csv,md,png}, figure12_<order>.png and metrics."""
    run, table = ablation.run, ablation.table
    matched = judged_slices(ablation.source, table.samples)
    judge = Judge(ablation.source, table)
    figures, measured, sets = {}, {}, {}
    real = judge.real()
    for order, arm in arms:
        twin = first_twin(order, arm)
        slices = ablation.slices(order, arm, matched)
        if twin not in measured:
            measured[twin] = judge.figures(slices)
        found = {} if arm.sees_label else {"lesion_outside": np.nan}
        figures.setdefault(order, {})[arm.letter] = {**measured[twin], **found}
        sets.setdefault(order, []).append((arm, slices))
    for values in figures.values():
        values[REAL] = real
    text = table_text(figures, _notes(launch, ablation, matched, arms))
    write_table(run.path / "table1", ablation_frame(figures), text)
    save_figure(bar_chart(figures, ablation.source.data_note), run.path / "table1.png")
    examples = striking(matched, ablation.any_labels(matched), table.examples)
    for order, rows in sets.items():
        write_png(run.path / f"figure12_{order}.png", _strip(rows, matched, examples))
    run.update_metrics(
        {
            f"table1/{order}/{letter}/{name}": value
            for order, values in figures.items()
            for letter, row in values.items()
            for name, value in row.items()
            if np.isfinite(value)
        }
    )
    print(f"\n{text}\n{run.path / 'table1.md'}")


def _strip(
    rows: Sequence[tuple[Arm, SliceSet]], matched: SliceSet, examples: Sequence[int]
) -> np.ndarray:
    """Fig. 12; an arm without map shows an empty cell and no label."""
    sets, maps = {}, {}
    for arm, slices in rows:
        maps[arm.letter] = matched.structure * arm.reads_map
        blank = np.zeros_like(slices.label)
        sets[arm.letter] = slices if arm.sees_label else replace(slices, label=blank)
    return strip(sets, maps, examples)


def _notes(
    launch: Launch, ablation: Ablation, matched: SliceSet, arms: Sequence[tuple[str, Arm]]
) -> list[str]:
    source, table = ablation.source, ablation.table
    config, noise = (
        arm_run_config(arm, source.config, table) for arm in (ORDERS["thesis"][-1], NOISE)
    )
    phases = "no pre-training"
    if config.pretrain:
        pretraining = config.schedule.pretraining
        phases = f"{_length(pretraining)} of pre-training with batches of {pretraining.batch_size}"
    return [
        f"Data: {source.data_note}; {len(source.split.train)} training and "
        f"{len(source.split.test)} held-out patients.",
        f"Command: `{_command(launch, arms)}`; seed {table.seed}; one training per arm, so small "
        "differences are noise.",
        f"Training of each arm: {phases}, {_length(config.schedule.synthesis)} of adversarial "
        f"training with batches of {config.schedule.synthesis.batch_size}. A has no pre-training, "
        f"as in the released code, but {_length(noise.schedule.synthesis)} of adversarial training "
        f"at the learning rate {noise.synthesis.learning_rate:g}.",
        "With the main run's seed and lengths, F is the main run's own generator, and arms whose "
        "generator reads the same input share their pre-training.",
        f"All arms were judged on the same {len(matched.label)} generated maps, unfiltered by "
        "lesion; arms without mask filter with labels that were drawn without looking at the mask. "
        "Arms that see no label are scored against labels they never saw, A also against masks.",
        *(DEVIATIONS["both"]),
        *(text for x in ORDERS if any(x == order for order, _ in arms) for text in DEVIATIONS[x]),
        "MS-SSIM and Frechet distance of real slices compare training with held-out patients: what "
        "a perfect set would reach.",
    ]


def _length(schedule: Schedule) -> str:
    return f"{schedule.steps} updates" if schedule.steps else f"{schedule.epochs} passes"


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))

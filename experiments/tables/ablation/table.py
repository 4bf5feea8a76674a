"""Thesis Table 1, Fig. 12 and 13: what each part of the main system contributes (5.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data.brats.names import MODALITIES
from data.slice_sets import Slices
from experiments.configs.table1 import PRESETS
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.engine.table import Row, Table
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.ablation.measures import METRICS, Judge
from experiments.tables.ablation.training import (
    any_labels,
    judged_slices,
    train_variant,
    variant_finished,
    variant_slices,
)
from experiments.tables.ablation.variants import (
    LETTERS,
    NOISE,
    ORDERS,
    Variant,
    first_twin,
    variant_config,
    variant_run_config,
)
from models.structure_gan.config import SynthesisConfig
from utils.errors import UserError
from utils.reporting.charts import bar_panels, save_figure
from utils.reporting.pictures import draw_contour, enlarge, grid, to_uint8, write_png
from utils.reporting.tables import markdown_table
from utils.training.trainer import Schedule

BOTH, REAL = "both", "real"
ORDER_TITLES = {
    "thesis": "the thesis' order (Table 1)",
    "released": "the released code's order",
}
# Each step of an order, what it adds, and the metric that the thesis' text says it improves.
CLAIMS = {
    "thesis": (
        ("A", "B", "structure map", "frechet_texture"),
        ("B", "C", "label inside the mask", "lesion_outside"),
        ("C", "D", "noise fusion", "frechet_texture"),
        ("D", "E", "registration loss", "overlap"),
        ("E", "F", "lesion loss", "dice_wt"),
    ),
    "released": (
        ("A", "B", "structure map", "frechet_texture"),
        ("B", "C", "noise fusion", "frechet_texture"),
        ("C", "D", "registration loss", "overlap"),
        ("D", "E", "label and lesion loss", "dice_wt"),
        ("E", "F", "label inside the mask", "lesion_outside"),
    ),
}
# Where the variants are not those of the thesis or its code, on purpose.
DEVIATIONS = {
    "both": (
        "A to F differ in nothing but the table's columns: where the released code pre-trains B to "
        "E without its background term, it stays on here, as do the trained run's other additions.",
    ),
    "thesis": (
        "The thesis' table ticks L_les for B; the code of that order has no lesion loss before F, "
        "which is followed.",
        "The code's variants of the thesis' order weigh D's real, D's fake and G's loss with 100, "
        "70 and 70, their class terms with 100, and have a learning rate of 1e-4 and a label "
        "scale of 0.18; here these are the trained run's.",
    ),
    "released": (
        "The code's own order uses no label input at all; here E and F are the main system's. Its "
        "E takes the label of the slice that the map is from; here any label.",
        "The code's A of its own order weighs D's real, D's fake and G's loss with 100, 70 and 70 "
        "and has four separate generators; here the weights are the trained run's and the "
        "generator is one, conditioned like the others.",
    ),
}
SCALE = 2  # pixels of the strip per pixel of a slice


def _rows() -> tuple[Row, ...]:
    places = {"thesis": "", "released": " of the code's order"}
    rows = [
        Row(
            f"{order}/{variant.letter}",
            f"{order} {variant.letter}: {variant.description}",
            place=f"thesis Table 1, {variant.letter}{places[order]}",
            options={"order": order, "rows": variant.letter},
            remark="bars without numbers (Fig. 13)",
        )
        for order, variants in ORDERS.items()
        for variant in variants
    ]
    return (*rows, *(Row(f"{order}/{REAL}", "real slices") for order in ORDERS))


def findings(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns a sentence per claim of the thesis on the measured variants, and the orders."""
    texts = []
    better = {metric.key: metric for metric in METRICS}
    for order, claims in CLAIMS.items():
        for before, after, what, name in claims:
            old, new = (table.value(figures, f"{order}/{x}", name) for x in (before, after))
            if table.measured(figures, f"{order}/{before}", f"{order}/{after}"):
                verdict = "better" if (new - old) * better[name].better > 0 else "not better"
                texts.append(
                    f"{order} {before} to {after} ({what}): {better[name].title} {old:.3f} to "
                    f"{new:.3f}, {verdict}."
                )
        for metric in METRICS:
            values = {x: table.value(figures, f"{order}/{x}", metric.key) for x in LETTERS}
            values = {letter: value for letter, value in values.items() if np.isfinite(value)}
            ranked = sorted(values, key=lambda x, v=values, m=metric: v[x] * -m.better)
            if len(ranked) > 1:
                numbers = ", ".join(f"{letter} {values[letter]:.3f}" for letter in ranked)
                texts.append(f"{order}, {metric.title}, best to worst: {numbers}.")
    return texts


TABLE = Table(
    "table1",
    "Table 1: ablation of the main system",
    rows=_rows(),
    metrics=METRICS,
    ledger={metric.key: metric.key for metric in METRICS},
    claims=findings,
)
Pairs = Sequence[tuple[str, Variant]]  # order, variant


def chosen_variants(request: Request) -> list[tuple[str, Variant]]:
    """Returns pairs (order, variant) for `--order` and `--rows`; UserError for others."""
    order, letters = request.options["order"], request.options["rows"]
    if order not in (*ORDERS, BOTH):
        raise UserError(f"--order is {order!r}; choose from {', '.join((*ORDERS, BOTH))}")
    wanted = LETTERS if letters == "all" else [word.strip() for word in letters.split(",")]
    unknown = [letter for letter in wanted if letter not in LETTERS]
    if unknown:
        raise UserError(f"--rows is {letters!r}; choose from {', '.join(LETTERS)}, or all")
    orders = ORDERS if order == BOTH else {order: ORDERS[order]}
    return [
        (name, variant)
        for name, variants in orders.items()
        for variant in variants
        if variant.letter in wanted
    ]


def train(run: Run) -> None:
    """Trains the chosen variants that are not trained yet."""
    for order, variant in chosen_variants(run.request):
        train_variant(run, order, variant)


def table_variants(run: Run) -> list[tuple[str, Variant]]:
    """Returns the chosen variants, and the finished ones of their orders and earlier tables."""
    earlier, chosen = run.read_metrics(), chosen_variants(run.request)
    orders = {order for order, _ in chosen}
    orders |= {x for x in ORDERS if any(key.startswith(f"table1/{x}/") for key in earlier)}
    pairs = [(order, variant) for order in ORDERS if order in orders for variant in ORDERS[order]]
    return [pair for pair in pairs if pair in chosen or variant_finished(run, *pair)]


def write(run: Run) -> None:
    """Measures the variants and writes table1.{csv,md,png}, figure12_<order>.png and metrics."""
    variants, matched, judge = table_variants(run), judged_slices(run), Judge(run)
    sets = {
        f"{order}/{variant.letter}": variant_slices(run, order, variant, matched)
        for order, variant in variants
    }
    orders = list(dict.fromkeys(order for order, _ in variants))
    sees_label = {f"{order}/{variant.letter}": variant.sees_label for order, variant in variants}
    files = {f"{order}/{variant.letter}": first_twin(order, variant) for order, variant in variants}
    real = {f"{order}/{REAL}": REAL for order in orders}

    def measure(row: str) -> dict[str, float]:
        if row in real:
            return judge.real()
        figures = judge.figures(sets[row])
        return figures if sees_label[row] else {**figures, "lesion_outside": np.nan}

    TABLE.measure(run, measure, asdict(run.config), [*sets, *real], {**files, **real}.get)
    sections = [
        text
        for order in orders
        for text in (f"## Variants in {ORDER_TITLES[order]}", markdown_table(settings_frame(order)))
    ]
    TABLE.write(run, _notes(run, matched, variants), sections, **_options(variants))
    save_figure(chart(run.read_metrics(), orders, run.data_note), run.path / "table1.png")
    examples = striking(matched, any_labels(run, matched), run.config.examples)
    for order in orders:
        rows = [
            (variant, sets[f"{name}/{variant.letter}"])
            for name, variant in variants
            if name == order
        ]
        write_png(run.path / f"figure12_{order}.png", strip(rows, matched, examples))


def _options(variants: Pairs) -> dict[str, str]:
    """Returns the options that give these variants, however many starts it took."""
    orders, letters = ({pair[0] for pair in variants}, {variant.letter for _, variant in variants})
    chosen = "all" if letters == set(LETTERS) else ",".join(sorted(letters))
    return {"order": BOTH if len(orders) > 1 else min(orders), "rows": chosen}


def settings_frame(order: str) -> pd.DataFrame:
    """Returns Table 1 of an order, read from its variants: what each of them has."""
    rows = []
    for variant in ORDERS[order]:
        config = variant_config(variant, SynthesisConfig())
        rows.append(
            {
                "variant": variant.letter,
                "structure map": variant.reads_map,
                "label inside mask": variant.sees_label and variant.match,
                "noise fusion": variant.reads_map and config.noise != (0.0, 0.0),
                "L_reg": config.registration > 0,
                "L_les": config.lesion > 0,
                "label input": {"concat": "beside", "weighted": "weighted sum"}[config.fusion]
                if variant.sees_label
                else "none",
            }
        )
    return pd.DataFrame(rows).replace({True: "yes", False: "no"})


def chart(figures: Mapping[str, float], orders: Sequence[str], note: str) -> Figure:
    """Draws one panel per metric (Fig. 13): bars are variants, a series per order."""
    letters = [x for x in LETTERS if any(TABLE.measured(figures, f"{o}/{x}") for o in orders)]
    panels = {
        f"{metric.title}\n{'higher' if metric.better > 0 else 'lower'} is better": {
            f"{order} order": [
                TABLE.value(figures, f"{order}/{letter}", metric.key) for letter in letters
            ]
            for order in orders
        }
        for metric in METRICS
    }
    real = [TABLE.value(figures, f"{orders[0]}/{REAL}", metric.key) for metric in METRICS]
    return bar_panels(panels, letters, dict(zip(panels, real)), columns=3, note=note)


def strip(
    rows: Sequence[tuple[Variant, Slices]], matched: Slices, examples: Sequence[int]
) -> np.ndarray:
    """Returns Fig. 12 as uint8 [H,W,3]: a row per variant, per example G's input and output.

    A variant without map shows an empty cell, one that sees no label no outline.

    Args:
        rows: variants with their slices.
        matched: with the maps.
        examples: numbers of the slices.
    """
    pictures = []
    for variant, slices in rows:
        row = []
        for k in examples:
            label = slices.label[k] * variant.sees_label
            row.append(enlarge(to_uint8(matched.structure[k] * variant.reads_map), SCALE))
            row += [
                draw_contour(slices.images[k, ..., i], label, scale=SCALE)
                for i in range(len(MODALITIES))
            ]
        pictures.append(row)
    headers = ("map", *MODALITIES) * len(examples)
    return grid(pictures, titles=[variant.letter for variant, _ in rows], headers=headers)


def striking(matched: Slices, others: np.ndarray, count: int) -> list[int]:
    """Returns the slices whose matched lesion is large and whose other label leaves the organ.

    The product of both areas ranks them, so that one strip shows what the mask filter and the
    lesion loss do.
    """
    inside = np.count_nonzero(matched.label, axis=(1, 2))
    crossing = np.count_nonzero((others > 0) & (matched.outside > 0), axis=(1, 2))
    return np.argsort(-(inside + 1.0) * (crossing + 1.0), kind="stable")[:count].tolist()


def _notes(run: Run, matched: Slices, variants: Pairs) -> list[str]:
    source, table = run.source, run.config
    config, noise = (
        variant_run_config(variant, source.config, table)
        for variant in (ORDERS["thesis"][-1], NOISE)
    )
    phases = "no pre-training"
    if config.pretrain:
        pretraining = config.schedule.pretraining
        phases = f"{_length(pretraining)} of pre-training with batches of {pretraining.batch_size}"
    return [
        f"Seed {table.seed}; one training per variant, so small differences are noise.",
        f"Training of each variant: {phases}, {_length(config.schedule.synthesis)} of adversarial "
        f"training with batches of {config.schedule.synthesis.batch_size}. A has no pre-training, "
        f"as in the released code, but {_length(noise.schedule.synthesis)} of adversarial training "
        f"at the learning rate {noise.synthesis.learning_rate:g}.",
        "With the trained run's seed and lengths, F is the trained run's own generator. Variants "
        "whose generator reads the same input share their pre-training.",
        f"All variants were measured on the same {len(matched)} generated maps, unfiltered by "
        "lesion; those without mask filter with labels that were drawn without looking at the "
        "mask. Variants that see no label are scored against labels they never saw, A also against "
        "masks.",
        *(DEVIATIONS["both"]),
        *(
            text
            for x in ORDERS
            if any(x == order for order, _ in variants)
            for text in DEVIATIONS[x]
        ),
        "MS-SSIM and Frechet distance of real slices compare training with held-out patients: what "
        "a perfect set would reach.",
    ]


def _length(schedule: Schedule) -> str:
    return f"{schedule.steps} updates" if schedule.steps else f"{schedule.epochs} epochs"


def outline(request: Request) -> str:
    """Returns the stages and variants of a dry run."""
    variants = ", ".join(f"{order} {variant.letter}" for order, variant in chosen_variants(request))
    return f"stages: {' -> '.join(request.stages)}\narms: {variants}"


TABLE1 = Experiment(
    "experiments/table1_ablation.py",
    "Thesis Table 1, Fig. 12 and 13: what each part of the main system contributes.",
    PRESETS,
    stages=(Task("train", train, alone=False), Task("table", write)),
    sources=Finished(TRAIN_BRATS),
    check=lambda request, strategy: chosen_variants(request),
    outline=outline,
    options=(
        Option("order", str, "thesis", "thesis, released or both"),
        Option("rows", str, "all", "letters such as A,F, or all"),
    ),
    table=TABLE,
)

"""The early paper's Table 1: which lesion nets guide the images best?"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Callable

import numpy as np

from data.slice_sets import Slices, stored_slices
from experiments.configs.early_tables import TABLE1
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.scoring import segmentation_figures
from experiments.engine.sources import Finished
from experiments.engine.table import Metric, Row, Table
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.systems.structure_gan.evaluation import find_labels, held_out
from experiments.systems.structure_gan.maps import images_of_maps
from experiments.tables import lesion_validity
from models.early_gan.config import SINGLE_WEIGHTS
from utils.errors import UserError
from utils.inference import compiled, seeds_of
from utils.metrics.resampling import paired_bootstrap
from utils.metrics.segmentation import dice
from utils.reporting.charts import bar_panels, save_figure
from utils.runs.results import kept
from utils.seeding import derive_seed

SCHEMES = {"1seg": "1SEG", "1ecl_4dcl": "1ECL+4DCL", "4seg": "4SEG"}
PRINTED = {"real": (0.026, 0.915), "1seg": (0.053, 0.741), "1ecl_4dcl": (0.055, 0.808)}
PRINTED["4seg"] = (0.043, 0.838)
REFERENCE = "4seg"  # whose images the others' are compared with
OWN = ("structure", "pretraining")  # trainings that all schemes take from the run


def findings(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns the order of the schemes, and their differences with intervals, in words."""
    score = {row: table.value(figures, row, "dice_wt") for row in SCHEMES}
    measured = [row for row in SCHEMES if np.isfinite(score[row])]
    ranked, texts = sorted(measured, key=lambda row: -score[row]), []
    if len(ranked) > 1:
        order = ", ".join(f"{SCHEMES[row]} {score[row]:.3f}" for row in ranked)
        texts = [f"Best to worst: {order}; the paper has 4SEG, 1ECL+4DCL, 1SEG."]
    for row in ranked:
        mean, low, high = (table.value(figures, row, f"behind{x}") for x in ("", "_low", "_high"))
        if np.isfinite(mean):
            side = "undecided" if low <= 0 <= high else ("worse" if high < 0 else "better")
            texts.append(
                f"{SCHEMES[row]} - 4SEG: {mean:+.3f}, interval {low:+.3f} to {high:+.3f}: {side}."
            )
    return texts


_SHARED = {metric.key: metric for metric in lesion_validity.TABLE.metrics}
TABLE = Table(
    "table1_early",
    "Table 1 of the early paper: three schemes of lesion nets",
    rows=tuple(
        Row(
            key,
            {"real": "real, held-out patients", **SCHEMES}[key],
            dict(zip(("legacy_mse", "legacy_dice"), printed)),
            f"early paper Table 1, {SCHEMES.get(key, key)}",
            {} if key == "real" else {"rows": key},
        )
        for key, printed in PRINTED.items()
    ),
    metrics=(
        *_SHARED.values(),
        Metric(
            "dice_wt_low",
            "lower limit of the 95 % interval (BCa bootstrap) of its mean over the slices for "
            "which all judges define it",
        ),
        Metric("dice_wt_high", "upper limit"),
        Metric("behind", "dice_wt of a slice less that of 4SEG on the same map and label, mean"),
        Metric("behind_low", "lower limit of its 95 % interval"),
        Metric("behind_high", "upper limit"),
        Metric("own_dice_wt", "whole-tumour Dice of the nets that guided the images", 1),
    ),
    parts=lesion_validity.TABLE.parts,
    paper_note="The printed numbers are of BRATS 2015; differences are ours - printed.",
    ledger={"MSE": "legacy_mse", "Dice": "legacy_dice"},
    claims=findings,
)


def chosen(request: Request) -> list[str]:
    """Returns the schemes of `--rows`; UserError for others."""
    words = request.options["rows"]
    names = list(SCHEMES) if words == "all" else [word.strip() for word in words.split(",")]
    unknown = [name for name in names if name not in SCHEMES]
    if unknown or not names:
        raise UserError(f"--rows is {words!r}; give all, or some of {','.join(SCHEMES)}")
    return [name for name in SCHEMES if name in names]


def scheme_run(run: Run, scheme: str, writes: bool = True) -> Run:
    """Returns the run of one scheme: own lesion nets and images, all else of the trained run."""
    source = run.source
    lesions = replace(source.config.segmentation, scheme=scheme)
    config = replace(source.config, segmentation=lesions)
    request = replace(source.request, out=run.path / "schemes" / scheme, config=config)
    own = Run(TRAIN_EARLY, request, source.strategy, writes and run.writes)
    same = ("segmentation", "synthesis") if config == source.config else ()
    borrowed = {stage: source.checkpoints(stage) for stage in (*OWN, *same)}
    return own.on_data_of(source).changed(borrowed=borrowed)


def judging_run(run: Run) -> Run:
    """Returns the run of the judges: 4SEG on real slices, from other weights than any guide's."""
    source = run.source
    lesions = replace(source.config.segmentation, scheme="4seg")
    seed = derive_seed(run.config.seed, "judges", source.config.seed)
    config = replace(source.config, seed=seed, segmentation=lesions)
    request = replace(source.request, out=run.path / "judges", config=config)
    return Run(TRAIN_EARLY, request, source.strategy, run.writes).on_data_of(source)


def train(run: Run) -> None:
    """Trains the judges, and nets and images of the chosen schemes, as far as they are missing."""
    TRAIN_EARLY.stage("segmentation").perform(judging_run(run))
    for scheme in chosen(run.request):
        own = scheme_run(run, scheme)
        for stage in ("segmentation", "synthesis"):
            if stage not in own.borrowed:
                print(f"{SCHEMES[scheme]}: {stage}", flush=True)
                TRAIN_EARLY.stage(stage).perform(own)


def scheme_slices(run: Run, scheme: str) -> Slices:
    """Returns a scheme's slices of the maps and labels of the trained run's set; they are kept."""
    own, config = scheme_run(run, scheme, writes=False), run.config
    slices = stored_slices(run.source.synthetic, config.samples)

    def render() -> dict[str, np.ndarray]:
        seeds = seeds_of(len(slices), config.seed, "schemes")
        system = own.trained("synthesis")
        return {"images": images_of_maps(system, slices, seeds, config.batch_size)}

    settings = {"weights": own.weights_hash("synthesis"), "samples": len(slices)}
    path = run.path / "sets" / f"{scheme}.npz"
    return replace(slices, images=kept(path, render, settings)["images"])


def write(run: Run) -> None:
    """Writes table1_early.{csv,md,png} and the keys `table1_early/...` of metrics.json."""
    finished = [key for key in SCHEMES if scheme_run(run, key, False).finished("synthesis")]
    # A row stands beside 4SEG: without it, it lacks the difference.
    settings = {**asdict(run.config), "reference": REFERENCE in finished}
    TABLE.measure(run, measuring(run), settings, ["real", *finished])
    notes = (
        f"Seed of the trained run {run.source.config.seed}; one training of each scheme, from "
        "equal weights of the encoders and decoder, on equal maps, labels and slices.",
        "The judges are four segmenters, one per modality, that learned from real slices and "
        "guided no images; the paper does not tell whether its own did.",
        _weights_note(run),
        "Samples are not selected by their lesions. Intervals cover the choice of samples, not "
        "the chance in training.",
    )
    rows = "all" if len(finished) == len(SCHEMES) else ",".join(finished)
    TABLE.write(run, notes, rows=rows)
    chart = bar_panels(*TABLE.bars(run.read_metrics()), note=run.data_note)
    save_figure(chart, run.path / "table1_early.png")


def _weights_note(run: Run) -> str:
    """Returns which class weights the nets that guide the rows have learned with."""
    weights = run.source.config.segmentation.class_weights
    words = ["/".join(f"{w:g}" for w in group) for group in (weights or (), SINGLE_WEIGHTS)]
    if weights is None:
        return f"As in the released code, 1SEG has class weights of its own, {words[1]}."
    return (
        f"The lesion nets of all schemes, 1SEG's too, have learned with the class weights "
        f"{words[0]}; the released code has {words[1]} for 1SEG."
    )


def measuring(run: Run) -> Callable[[str], dict[str, float]]:
    """Returns the function from a row's key to its metrics."""
    config, dataset = run.config, run.prepared.dataset
    find = compiled(judging_run(run).trained("segmentation").synthesize)

    @functools.cache  # 4SEG's stand beside those of every other scheme
    def judged(row: str) -> tuple[Slices, np.ndarray, np.ndarray]:
        """Returns a row's slices, the labels found in them, and the whole-tumour Dice [N]."""
        slices = held_out(run.source) if row == "real" else scheme_slices(run, row)
        found = find_labels(find, slices.images, config.batch_size)
        scores = [dice(found[..., i] > 0, slices.label > 0) for i in range(found.shape[-1])]
        return slices, found, np.mean(scores, axis=0)

    def interval(values: np.ndarray, name: str) -> dict[str, float]:
        values = values[np.isfinite(values)]
        if not values.size:
            return {}
        seed = derive_seed(config.seed, "bootstrap")
        found = paired_bootstrap(values, np.ones(len(values)), config.resamples, seed)
        return {f"{name}_low": found.low, f"{name}_high": found.high}

    def measure(row: str) -> dict[str, float]:
        slices, found, scores = judged(row)
        figures = segmentation_figures(dataset, found, slices.label)
        figures.update(interval(scores, "dice_wt"))
        if row == "real":
            return figures
        own = compiled(scheme_run(run, row, writes=False).trained("segmentation").synthesize)
        guided = find_labels(own, slices.images, config.batch_size)
        own_figures = segmentation_figures(dataset, guided, slices.label)
        figures["own_dice_wt"] = own_figures.get("dice_wt", np.nan)
        if row != REFERENCE and scheme_run(run, REFERENCE, writes=False).finished("synthesis"):
            behind = scores - judged(REFERENCE)[2]
            figures["behind"] = float(np.nanmean(behind))
            figures.update(interval(behind, "behind"))
        return figures

    return measure


TABLE1_EARLY = Experiment(
    "experiments/table1_early.py",
    "Table 1 of the early paper: lesions of images that three schemes of lesion nets guided.",
    TABLE1,
    stages=(Task("train", train, alone=False), Task("table", write)),
    sources=Finished(TRAIN_EARLY),
    check=lambda request, strategy: chosen(request),
    outline=lambda request: f"schemes: {', '.join(SCHEMES[name] for name in chosen(request))}",
    options=(Option("rows", str, "all", f"all, or some of {','.join(SCHEMES)}"),),
    table=TABLE,
)

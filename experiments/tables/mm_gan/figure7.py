"""MM-GAN's Figure 7: does the image pool make volumes in which a segmenter finds the label?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Optional

from data.brats.names import MODALITIES
from experiments.configs.mm_gan import VolumesConfig
from experiments.configs.mm_gan_tables import FIGURE7, PoolConfig
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Variants
from experiments.engine.table import Metric, Row, Table
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN
from utils.errors import UserError
from utils.reporting.charts import bar_panels, save_figure

POOL, NO_POOL = "pool", "no_pool"
OPTION = Option(
    "pools",
    Optional[Path],
    None,
    "folder with a run of train_mm_gan.py with and without pool; made where missing (default: "
    "OUT/pools)",
)
REGIONS = {"wt": "whole tumour", "tc": "its core", "et": "enhancing tumour"}
TABLE = Table(
    "figure7_mm_gan",
    "MM-GAN, Figure 7: the image pool",
    (Row("real", "real"), Row(POOL, "synthetic, pool"), Row(NO_POOL, "synthetic, no pool")),
    tuple(
        Metric(
            region,
            f"Dice of {name} that the modality's segmenter finds in held-out patients' volumes, "
            "real or made of their labels, mean over the patients",
            1,
            f"Dice of {name} (1 is perfect)",
        )
        for region, name in REGIONS.items()
    ),
    MODALITIES,
    "The paper shows bars of the training patients without numbers, and says that the pool helps "
    "but for T2, which loses 0.01.",
)


def pool_configs(config: PoolConfig) -> Mapping[str, VolumesConfig]:
    """Returns the configuration of the run with and of the one without a pool."""
    training = config.training
    return {POOL: training, NO_POOL: replace(training, gan=replace(training.gan, pool=0))}


def write(run: Run) -> None:
    """Writes figure7_mm_gan.{csv,md,png} from the metrics of both runs."""

    def measure(row: str) -> dict[str, float]:
        kind, source = ("real", POOL) if row == "real" else ("synthetic", row)
        metrics, found = run.sources[source].read_metrics(), {}
        for region in REGIONS:
            keys = {m: f"volumes/{kind}/{m}/dice_{region}" for m in run.sources[POOL].config.made}
            scores = {m: metrics[key] for m, key in keys.items() if key in metrics}
            found.update({f"{modality}/{region}": score for modality, score in scores.items()})
            if scores:
                found[region] = sum(scores.values()) / len(scores)
        return found

    TABLE.measure(run, measure, None)
    judges = "Segmenters of each run, trained alike on the same real volumes, judge it"
    TABLE.write(run, (f"{judges}; one training of each.",))
    chart = bar_panels(*TABLE.bars(run.read_metrics()), note=run.data_note)
    save_figure(chart, run.path / "figure7_mm_gan.png")


def check(request: Request, strategy: object) -> None:
    """Raises UserError without a pool to leave out, or for volumes that do not fit the networks."""
    training = request.config.training
    if not training.gan.pool:
        raise UserError("--training.gan.pool is 0, but one of the runs has a pool; give 1 or more")
    TRAIN_MM_GAN.check(replace(request, config=training), strategy)


FIGURE7_MM_GAN = Experiment(
    "experiments/figure7_mm_gan.py",
    "MM-GAN Fig. 7: generators that learn with and without an image pool.",
    FIGURE7,
    stages=(Task("draw", write),),
    sources=Variants(TRAIN_MM_GAN, OPTION, pool_configs),
    check=check,
    outline=lambda request: "runs: " + ", ".join(pool_configs(request.config)),
    options=(OPTION,),
    table=TABLE,
)

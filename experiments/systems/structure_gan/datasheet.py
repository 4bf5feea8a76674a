"""The datasheet of the main system's synthetic sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.synthetic_sets.datasheet import set_datasheet
from data.synthetic_sets.files import DATASHEET, finished_manifest
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import origin
from experiments.systems.structure_gan.report import summary_table
from utils.runs.files import write_text

SYSTEM = "structure maps, conditional synthesis and registration (main system, docs/papers.md)"


def describe(run: Run, manifest: Mapping[str, Any]) -> str:
    """Returns the datasheet of a set that is drawn with a run's systems."""
    metrics, settings = run.read_metrics(), manifest["settings"]
    texture = {k: metrics.get(f"detectability/{k}/accuracy") for k in ("real", "synthetic")}
    changed = "after two random operations" if settings["augment_labels"] else "as it is"
    source = origin(
        run,
        manifest,
        settings,
        run.experiment.drawing.networks,
        system=SYSTEM,
        making=(
            "`python experiments/generate.py --run RUN` draws more samples with the same networks.",
            "Maps taken after all retries, without passing the filter: "
            f"{manifest['accepted_after_retries']}.",
        ),
        score="mean whole-tumour Dice of the segmenters",
        labels=f"Each label is that of one slice of a training patient, {changed}; its number "
        "among the training slices with a lesion is label_source in samples.csv.",
        figures=summary_table(metrics),
        measured="Held-out real slices beside the run's own set of "
        f"{run.config.dataset.samples} samples, unfiltered",
        texture={kind: value for kind, value in texture.items() if value is not None},
    )
    return set_datasheet(manifest, source)


def write_datasheet(run: Run) -> None:
    """Writes the datasheet of the run's own set anew, with the figures that were measured since."""
    text = describe(run, finished_manifest(run.synthetic))
    write_text(run.synthetic / DATASHEET, text)

"""What the reports of all systems end with."""

from __future__ import annotations

import json

import tensorflow as tf

from experiments.engine.run import Run
from utils.config import to_yaml
from utils.reporting.report import Report, loss_curves


def begin_report(run: Run, title: str) -> Report:
    """Returns a report, which tells first if the run's preset makes no images worth a look."""
    report = Report(title)
    if run.request.preset == "tiny":
        report.add_section(
            "Preset tiny",
            "A few updates of small networks, to see that everything runs. Its images show nothing "
            "and its figures mean nothing; the preset demo takes minutes.",
        )
    return report


def add_trainings(report: Report, run: Run) -> None:
    """Adds what every report ends with.

    These are the number of cases left out, curves and the last pictures of each training, the
    configuration and the environment.
    """
    if run.skipped:
        number = f"{len(run.skipped)} bad case{'s' * (len(run.skipped) > 1)} left out"
        text = f"{number} when the run began; {run.skipped_cases.name} names them."
        report.add_section("Cases left out", text)
    history = run.read_history()
    for stage in (training.name for training in run.experiment.trainings):
        rows = [row for row in history if row["stage"] == stage]
        if not rows:
            continue
        seconds = sum(row["seconds_per_step"] for row in rows) / len(rows)
        report.add_section(f"Stage {stage}", f"{rows[-1]['step']} steps, {seconds:.2f} s each.")
        report.add_figure(loss_curves(history, stage))
        pictures = sorted(run.samples.glob(f"{stage}_*.png"))
        if pictures:
            picture = tf.io.decode_png(tf.io.read_file(str(pictures[-1]))).numpy()
            report.add_picture(pictures[-1].stem, "", picture)
    report.add_preformatted("Configuration", to_yaml(run.config))
    for number, settings in enumerate(run.earlier_settings(), start=1):
        title = f"Earlier configuration {number}, with which some of this may have been made"
        report.add_preformatted(title, json.dumps(settings, indent=1))
    report.add_preformatted("Environment", run.environment.read_text(encoding="utf-8"))

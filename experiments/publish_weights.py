"""Make an archive of a finished run's networks that others can use without its data.

    python experiments/publish_weights.py --run RUN --out WEIGHTS.zip
    python experiments/publish_weights.py --run RUN --audit AUDIT --out WEIGHTS.zip

RUN is a finished run of experiments/train_brats.py, train_samr.py or train_tc_mgan.py. The archive
holds the networks that make images (not those that only train them, such as discriminators), the
run's configuration and figures, and a datasheet; no labels, no names of patients or folders, and
no images but SAMR's atlas, the mean of the training patients at each height. Networks of
patients are only published after experiments/audit_privacy.py has found no
copies in RUN's own set; AUDIT is its folder. The same run gives the same bytes.

`--run WEIGHTS.zip` stands for a run in render.py, paint.py, generate.py and translate.py;
`--run phantom` for the networks that come with the project, which learned from the phantom.
"""

from __future__ import annotations

import _start

import sys
from pathlib import Path
from typing import Optional

import tensorflow as tf

from experiments.engine.cli import default_cache
from experiments.engine.experiment import Experiment
from experiments.engine.published import SUFFIX, Parts, write_archive
from experiments.engine.resuming import made_by, saved_run
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import LICENCE, training_data, version
from experiments.systems.samr.atlas import NAMES_FILE, atlas_file
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.structure_gan.privacy import audit_findings
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from utils.config import Parser
from utils.errors import UserError
from utils.reporting.tables import bullets, page
from utils.runs.exits import exit_code
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory

# By script, stages and their networks; a stage without networks is only known as finished.
PARTS: dict[str, Parts] = {
    TRAIN_BRATS.script: {
        "structure": ("G_s", "G_m", "D_s", "code_prior"),  # D_s scores random maps
        "segmentation": ("G_l0", "G_l1", "G_l2", "G_l3"),
        "registration": (),
        "pretraining": (),
        "synthesis": ("G",),
    },
    TRAIN_SAMR.script: {"segmenter": ("S",), "gan": ("G",)},
    TRAIN_TC_MGAN.script: {"gan": ("G",)},
}
# Beside the networks of SAMR, which reads it.
ATLAS_NOTE = (
    (),
    ("Holds the atlas, the mean of the training patients at each height; no audit looks at it.",),
)
AUDITED = (TRAIN_BRATS.script, TRAIN_SAMR.script)


def main() -> None:
    """Writes the archive and prints its SHA-256."""
    parser = Parser(
        prog="python experiments/publish_weights.py", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--run", type=Path, required=True, help="finished run of the main system, SAMR or TC-MGAN")
    add("--out", type=Path, required=True, help="archive to write, such as WEIGHTS.zip")
    add("--audit", type=Optional[Path], help="folder of audit_privacy.py; needed with --data")
    add("--data", type=Optional[Path], help="new place of the run's data")
    add("--cache", type=Path, default=default_cache(), help="prepared data and phantom")
    add("--overwrite", action="store_true", help="replace an existing archive")
    add("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args()
    if options.out.suffix.lower() != SUFFIX:
        raise UserError(f"--out {options.out} must end in {SUFFIX}; give it this suffix")
    if options.out.exists() and not options.overwrite:
        raise UserError(f"--out {options.out} exists; add --overwrite or give another name")
    experiment = made_by(options.run, (TRAIN_BRATS, TRAIN_SAMR, TRAIN_TC_MGAN))
    run = Run.open_finished(
        experiment, options.run, tf.distribute.get_strategy(), options.cache, options.data
    )
    findings = audited(run, options.audit)
    others = [atlas_file(run).name, NAMES_FILE] if experiment is TRAIN_SAMR else []
    parts = {
        stage: networks
        for stage, networks in PARTS[experiment.script].items()
        if not experiment.stage(stage).skip(run.config)
    }
    text = datasheet(run, experiment, findings)
    digest = write_archive(run, experiment, parts, others, text, options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {size:.1f} MB, SHA-256 {digest}")


def audited(run: Run, audit: Optional[Path]) -> list[str]:
    """Returns what the privacy audit of a run found; nothing for a phantom without audit.

    Raises UserError for networks of patients without an audit, for an audit of another run, or one
    that found copies.
    """
    if audit is None:
        if run.request.data is None:
            return []
        raise UserError(
            f"The run {run.path} learned from patients; make python experiments/audit_privacy.py "
            f"--run {run.path} and name its folder with --audit"
            + ("" if run.experiment.script in AUDITED else " (there is none for this system yet)")
        )
    saved = saved_run(audit, "--audit needs")
    metrics = RunDirectory(audit, writes=False).read_metrics()
    if saved["fingerprint"] != run.fingerprint() or "privacy/quarantined" not in metrics:
        raise UserError(
            f"--audit {audit} is no finished audit of the run {run.path} as it is now; make it anew"
        )
    if metrics["privacy/quarantined"]:
        raise UserError(
            f"The audit {audit} found {metrics['privacy/quarantined']:.0f} samples that are nearly "
            "copies of training slices: these networks remember patients and are not published"
        )
    return audit_findings(metrics)


def datasheet(run: Run, experiment: Experiment, findings: list[str]) -> str:
    """Returns the text that goes with the networks, without names of patients or folders."""
    phantom = run.request.data is None
    patients = len(set(map(run.prepared.dataset.patient_of, run.split.train)))
    audit = findings or ["No audit was made: nobody's data is in these networks."]
    preset = read_json(run.config_file, dict)["preset"]
    return page(
        [
            "# Networks to make synthetic images with",
            bullets(
                [
                    f"Made by `python {experiment.script}` (preset {preset}), {version(run)}.",
                    f"Learned from {training_data(run)}; {patients} training patients.",
                    "For research on methods; not for diagnosis, and no replacement of patients' "
                    "data in a study.",
                    *ATLAS_NOTE[experiment is TRAIN_SAMR],
                    "Weights are stored as float16: images differ from the run's own by rounding. "
                    "metrics.json has the run's figures, config.json its settings.",
                ]
            ),
            "## Privacy",
            bullets(audit),
            "## Terms",
            "The phantom is computed from the MNI152 templates; the networks are governed by the "
            "project's licence."
            if phantom
            else LICENCE,
        ]
    )


def _after_interrupt() -> str:
    return "nothing was written"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))

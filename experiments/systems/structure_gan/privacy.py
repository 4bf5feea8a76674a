"""Privacy audit: are synthetic slices nearer to training slices than other patients' slices are?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Optional

import numpy as np
import pandas as pd

from data.pipeline import evaluation_batches
from data.synthetic_sets.files import read_synthetic_set
from experiments.configs.privacy import AuditConfig
from experiments.engine.run import Run
from utils.errors import UserError
from utils.metrics.membership import Membership
from utils.metrics.privacy import TITLES, Audit, Details, audit_slices
from utils.metrics.similarity import slice_details
from utils.reporting.charts import OKABE_ITO, new_figure
from utils.reporting.pictures import grid, plain_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHUNK = 64  # slices in memory at full size
DEFINITIONS = (
    "Similarity of two slices: correlation of their details (slice less its blurred self), mean "
    "over the modalities, at the shift of up to 3 pixels of a slice at most 96 pixels long at "
    "which it is largest, mirrored or not; -1 to 1, higher is more alike, 1 is a copy. It depends "
    "on no pixel spacing.",
    "Control: similarity of each held-out slice to the nearest training slice, which is of another "
    "patient.",
    "Limit, without `--max-similarity`: halfway between the largest control and 1. If synthetic "
    "slices resembled training slices no more than other patients' slices do, each would exceed "
    "the largest of n controls with a probability of at most 1 / (n + 1), and the limit, which is "
    "higher, more rarely. Generated slices can be smoother than real ones and then resemble all of "
    "them a little more: hence the distance.",
    "Membership AUC: fraction of pairs in which the training slice is more similar to its nearest "
    "synthetic slice than the held-out slice to its own; 0.5 = the set does not tell who was in "
    "the training data. Control: the same between two groups of training patients, drawn at "
    "random. Corrected: 0.5 + AUC - control. Intervals: 95 %, patients drawn with replacement.",
)


def audit_run(run: Run, config: AuditConfig, max_similarity: Optional[float]) -> Audit:
    """Compares a finished run's synthetic set with its training and held-out slices."""
    return audit_slices(
        synthetic_details(run),
        real_details(run, run.split.train),
        real_details(run, run.split.test),
        config.resamples,
        config.seed,
        max_similarity,
    )


def check_max_similarity(value: Optional[float]) -> None:
    """Raises UserError for a limit that would keep every sample or none."""
    if value is not None and not 0 < value < 1:
        raise UserError(f"--max-similarity is {value}; give a number above 0 and below 1")


def real_details(run: Run, subjects: Sequence[str]) -> Details:
    """Returns the `slice_details` of the prepared slices of some subjects."""
    batches = evaluation_batches(run.prepared, subjects, CHUNK)
    parts = [(slice_details(b["images"].numpy()), b["source"].numpy()) for b in batches]
    return Details(*map(np.concatenate, zip(*parts)))


def synthetic_details(run: Run) -> np.ndarray:
    """Returns the `slice_details` of all samples of the synthetic set."""
    samples = read_synthetic_set(run.synthetic)
    parts = []
    while chunk := [sample["images"] for sample in islice(samples, CHUNK)]:
        parts.append(slice_details(np.stack(chunk)))
    return np.concatenate(parts)


def audit_frame(audit: Audit, samples: pd.DataFrame, patients: Sequence[int]) -> pd.DataFrame:
    """Returns a row per sample: its nearest training slice, by numbers that name nobody.

    Args:
        audit: the audit.
        samples: samples.csv of the set.
        patients: subject indices of the training patients, in the order of splits.json.
    """
    to_training, to_held_out, _ = audit.neighbours.values()
    source = audit.training[to_training.index]
    return pd.DataFrame(
        {
            "sample": samples["sample"],
            "file": samples["file"],
            "training_similarity": to_training.similarity,
            "training_patient": [list(patients).index(subject) for subject in source[:, 0]],
            "training_slice": source[:, 1],
            "held_out_similarity": to_held_out.similarity,
            "quarantined": audit.quarantined,
        }
    )


def audit_table(metrics: Mapping[str, float]) -> pd.DataFrame:
    """Returns the three distributions of nearest-neighbour similarity as a table."""
    rows = [
        {"slices": title, **{k: metrics[f"privacy/{name}/{k}"] for k in ("median", "p95", "max")}}
        for name, title in TITLES.items()
    ]
    return pd.DataFrame(rows)


def audit_findings(metrics: Mapping[str, float]) -> list[str]:
    """Returns the results in words."""
    count, total = int(metrics["privacy/quarantined"]), int(metrics["privacy/samples"])
    sentences = [
        f"{'ALARM: ' if count else ''}{count} of {total} samples are more similar to a training "
        f"slice than the limit {metrics['privacy/limit']:.3f}; "
        f"{int(metrics['privacy/above_control'])} more than any held-out slice is.",
        f"{metrics['privacy/nearer_to_training']:.0%} of the samples are nearer to a training than "
        f"to a held-out slice; {metrics['privacy/nearer_to_training_by_number']:.0%} of the real "
        "slices are training slices.",
    ]
    words = {name: _interval(metrics, name) for name in Membership._fields}
    text = f"Membership AUC {words['auc']}"
    low = metrics.get("privacy/membership/corrected_low")
    if low is None:
        return [*sentences, f"{text}; a control needs at least 2 training patients."]
    verdict = "ALARM: the set tells" if low > 0.5 else "it is not shown that the set tells"
    corrected = f"control {words['control']}, corrected {words['corrected']}"
    return [*sentences, f"{text}, {corrected}: {verdict} who was in the training data."]


def _interval(metrics: Mapping[str, float], name: str) -> str:
    keys = [f"privacy/membership/{name}{end}" for end in ("", "_low", "_high")]
    if keys[0] not in metrics:
        return ""
    return "{:.3f} [{:.3f}, {:.3f}]".format(*(metrics[key] for key in keys))


def audit_chart(audit: Audit) -> Figure:
    """Draws the distributions of nearest-neighbour similarity and the limit."""
    values = {TITLES[name]: found.similarity for name, found in audit.neighbours.items()}
    ends = [min(map(np.min, values.values())), max(*map(np.max, values.values()), audit.limit)]
    bins = np.linspace(ends[0] - 0.01, min(ends[1] + 0.02, 1.01), 40)
    figure = new_figure(10, 4.5)
    axes = figure.subplots()
    for i, (title, similarity) in enumerate(values.items()):
        shares = np.histogram(similarity, bins)[0] / len(similarity)
        style = {"color": OKABE_ITO[i], "linestyle": ("-", "--", ":")[i], "linewidth": 2}
        axes.stairs(shares, bins, label=title, **style)
    axes.axvline(audit.limit, color="black", linewidth=1, label=f"limit {audit.limit:.3f}")
    axes.set_xlabel("similarity to the nearest slice (1 is a copy)")
    axes.set_ylabel("fraction of the slices")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def worst_pairs(run: Run, audit: Audit, count: int) -> np.ndarray:
    """Draws the samples most similar to a training slice above those slices: uint8 [H,W,3]."""
    chosen = audit.worst[:count]
    to_training = audit.neighbours["synthetic_to_training"]
    wanted = dict.fromkeys(chosen.tolist())
    for number, sample in enumerate(read_synthetic_set(run.synthetic)):
        if number in wanted:
            wanted[number] = sample["images"]
    fake = np.stack(list(wanted.values()))
    real = np.stack([_training_slice(run, *audit.training[i]) for i in to_training.index[chosen]])
    rows, titles = [], []
    for i, modality in enumerate(run.prepared.dataset.channels):
        rows += [plain_row(fake[..., i]), plain_row(real[..., i])]
        titles += [f"{modality} synthetic", f"{modality} training"]
    headers = [f"{number}: {to_training.similarity[number]:.3f}" for number in chosen]
    return grid(rows, titles=titles, headers=headers)


def _training_slice(run: Run, subject: int, axial: int) -> np.ndarray:
    name = run.prepared.subject_ids[subject]
    for batch in evaluation_batches(run.prepared, [name], CHUNK):
        for image, source in zip(batch["images"].numpy(), batch["source"].numpy()):
            if source[1] == axial:
                return image
    raise KeyError((subject, axial))

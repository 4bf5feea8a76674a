"""Are synthetic slices nearer to training slices than other patients' slices are?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np

from utils.metrics.membership import Membership, membership
from utils.metrics.similarity import Neighbours, nearest

TITLES = {
    "synthetic_to_training": "synthetic to training",
    "synthetic_to_held_out": "synthetic to held-out",
    "held_out_to_training": "control: held-out to training",
}


class Details(NamedTuple):
    """`slice_details` [N,h,w,4] of real slices and their rows (subject index, axial slice)."""

    details: np.ndarray
    source: np.ndarray


@dataclass(frozen=True)
class Audit:
    """What the audit found; synthetic slices are in the order of the set.

    Attributes:
        neighbours: nearest neighbours by the keys of `TITLES`.
        limit: similarity to a training slice above which a sample is quarantined.
        training: (subject index, axial slice) of all training slices [T,2].
        membership: test of training against held-out slices, by their nearest synthetic slices.
        sizes: number of training and of held-out slices.
    """

    neighbours: Mapping[str, Neighbours]
    limit: float
    training: np.ndarray
    membership: Membership
    sizes: tuple[int, int]

    @property
    def quarantined(self) -> np.ndarray:
        """Which samples are too similar to a training slice: bool [N]."""
        return self.neighbours["synthetic_to_training"].similarity > self.limit

    @property
    def worst(self) -> np.ndarray:
        """The samples, those most similar to a training slice first: int [N]."""
        return np.argsort(-self.neighbours["synthetic_to_training"].similarity, kind="stable")


def audit_slices(
    synthetic: np.ndarray,
    training: Details,
    held_out: Details,
    resamples: int,
    seed: int,
    max_similarity: Optional[float] = None,
) -> Audit:
    """Compares `slice_details` of synthetic slices [N,h,w,4] with those of real ones.

    Without `max_similarity` the limit is that of `similarity_limit`.
    """
    to_training, from_training = nearest(synthetic, training.details, "Synthetic - training")
    to_held_out, from_held_out = nearest(synthetic, held_out.details, "Synthetic - held-out")
    control, _ = nearest(held_out.details, training.details, "Held-out - training")
    found = membership(
        from_training.similarity,
        training.source[:, 0],
        from_held_out.similarity,
        held_out.source[:, 0],
        resamples,
        seed,
    )
    return Audit(
        dict(zip(TITLES, (to_training, to_held_out, control))),
        similarity_limit(control.similarity) if max_similarity is None else max_similarity,
        training.source,
        found,
        (len(training.details), len(held_out.details)),
    )


def similarity_limit(control: np.ndarray) -> float:
    """Returns the limit halfway between the control's [K] largest similarity and 1, a copy."""
    return (float(control.max()) + 1) / 2


def audit_metrics(audit: Audit) -> dict[str, float]:
    """Returns the metrics as `privacy/...`; those that are not defined are left out."""
    metrics = {
        f"privacy/{name}/{key}": float(value)
        for name, neighbours in audit.neighbours.items()
        for key, value in zip(
            ("median", "p95", "max"), np.percentile(neighbours.similarity, [50, 95, 100])
        )
    }
    to_training, to_held_out, control = (n.similarity for n in audit.neighbours.values())
    metrics.update(
        {
            "privacy/limit": audit.limit,
            "privacy/samples": len(to_training),
            "privacy/quarantined": int(audit.quarantined.sum()),
            "privacy/above_control": int((to_training > control.max()).sum()),
            "privacy/nearer_to_training": float((to_training > to_held_out).mean()),
            "privacy/nearer_to_training_by_number": audit.sizes[0] / sum(audit.sizes),
        }
    )
    for name, interval in audit.membership._asdict().items():
        for key, value in zip(("", "_low", "_high"), interval):
            metrics[f"privacy/membership/{name}{key}"] = value
    return {key: value for key, value in metrics.items() if np.isfinite(value)}

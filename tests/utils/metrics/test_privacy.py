"""The audit finds a planted copy, and is silent on other patients' slices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from utils.metrics.privacy import Details, audit_metrics, audit_slices
from utils.metrics.similarity import slice_details

PER_PATIENT, RESAMPLES, SEED = 10, 200, 0


def brains(patients: int, slices: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random brains [N,48,40,4] in [0,1] and rows (patient, slice).

    A third of each is common to all, as anatomy is, and a third to all slices of a patient.
    """
    rows, columns = np.mgrid[-1:1:48j, -1:1:40j]
    inside = (rows / 0.75) ** 2 + (columns / 0.75) ** 2 < 1

    def fields(count: int, number: int) -> np.ndarray:
        drawn = np.random.default_rng(number).normal(size=(count, 48, 40, 4))
        smooth = gaussian_filter(drawn, (0, 1.5, 1.5, 0))
        return smooth / smooth.std()

    total = patients * slices
    shared = np.repeat(fields(patients, seed + 1), slices, axis=0)
    images = 0.5 + 0.08 * (fields(1, 0) + shared + fields(total, seed + 2))
    source = np.stack(np.divmod(np.arange(total), slices), axis=1)
    return (np.clip(images, 0, 1) * inside[..., None]).astype(np.float32), source


@pytest.fixture(scope="module")
def real() -> tuple[np.ndarray, Details, Details]:
    """Images of 20 training patients, what is compared of them, and of 8 held-out patients."""
    images, source = brains(20, PER_PATIENT, seed=10)
    others, other_source = brains(8, PER_PATIENT, seed=20)
    held_out = Details(slice_details(others), other_source + [20, 0])
    return images, Details(slice_details(images), source), held_out


def test_a_planted_copy_among_500_is_the_only_alarm(real):
    images, training, held_out = real
    fake, _ = brains(500, 1, seed=30)
    fake[123] = np.roll(images[77], (2, -2), axis=(0, 1))
    audit = audit_slices(slice_details(fake), training, held_out, RESAMPLES, SEED)
    assert np.flatnonzero(audit.quarantined).tolist() == [123] and audit.worst[0] == 123
    found = audit.neighbours["synthetic_to_training"]
    assert found.index[123] == 77 and found.similarity[123] > 0.98
    metrics = audit_metrics(audit)
    assert metrics["privacy/quarantined"] == 1 and metrics["privacy/samples"] == 500


@pytest.mark.parametrize("half", [slice(None, 40), slice(40, None)])
def test_held_out_slices_in_the_synthetic_place_raise_no_alarm(real, half):
    """Neither all of them, nor one half of the patients while the others are the control."""
    _, training, held_out = real
    whole = audit_slices(held_out.details, training, held_out, RESAMPLES, SEED)
    rest = np.delete(np.arange(80), np.arange(80)[half])
    others = Details(held_out.details[rest], held_out.source[rest])
    apart = audit_slices(held_out.details[half], training, others, RESAMPLES, SEED)
    for audit in (whole, apart):
        assert not audit.quarantined.any()
    corrected = apart.membership.corrected
    assert corrected.low < 0.5 < corrected.high


def test_copies_of_every_training_patient_tell_who_was_in_training(real):
    images, training, held_out = real
    fake = gaussian_filter(images[::2], (0, 0.5, 0.5, 0))
    audit = audit_slices(slice_details(fake), training, held_out, RESAMPLES, SEED)
    assert audit.quarantined.mean() > 0.9 and audit.membership.corrected.low > 0.5

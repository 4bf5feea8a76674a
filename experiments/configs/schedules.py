"""Lengths and intervals that several configurations share."""

from utils.training.trainer import Schedule


def short_schedule(steps: int, batch_size: int) -> Schedule:
    """Returns the schedule of a training that takes minutes: log lines and checkpoints are dense.

    Args:
        steps: updates in all.
        batch_size: slices per update.
    """
    return Schedule(
        steps=steps,
        batch_size=batch_size,
        steps_per_call=10,
        log_every=20,
        picture_every=max(steps // 4, 20),
        checkpoint_minutes=1.0,
    )

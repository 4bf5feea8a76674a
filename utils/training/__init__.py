"""Training any system: trainer, checkpoints, distribution, alarms, faults, signals."""

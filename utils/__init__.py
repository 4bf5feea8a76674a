"""Tools without paper knowledge: trainer, distribution, run directory, configuration, metrics."""

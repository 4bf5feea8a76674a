"""The stages of each system: the only place that composes models with data."""

"""Scripts that compose data, models and training; the only place that does."""

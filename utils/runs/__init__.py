"""A run on disk: its directory, files, lock, outputs, environment, cluster."""

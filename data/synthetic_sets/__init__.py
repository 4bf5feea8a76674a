"""Synthetic sets: drawing, files, export, and mixtures with real slices."""

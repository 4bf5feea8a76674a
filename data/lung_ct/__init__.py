"""Lung CT (Kaggle "Finding lungs in CT data"): single slices with lung masks."""

"""Thesis Table 1: what each part of the main system contributes."""

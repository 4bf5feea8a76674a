"""Thesis Tables 2 and 3: the quality of synthetic images beside real ones."""

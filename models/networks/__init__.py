"""Whole networks used by more than one system; each opens with its layer table."""

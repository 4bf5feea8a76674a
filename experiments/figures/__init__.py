"""Figures of the thesis' section 5.7."""

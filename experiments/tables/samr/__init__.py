"""SAMR's figure and table."""

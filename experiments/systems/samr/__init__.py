"""Stages of SAMR."""

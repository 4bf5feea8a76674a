"""Layers and initialisers shared by all networks."""

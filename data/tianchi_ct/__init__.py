"""Chest CT series of the Tianchi competition of 2019, with boxes around lesions."""

"""The stages of a BRATS run; every one can be finished, interrupted and resumed on its own."""

"""The stages of a TC-MGAN run; every one can be finished, interrupted and resumed on its own."""

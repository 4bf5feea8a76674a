"""The stages of TC-MGAN."""

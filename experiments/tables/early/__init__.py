"""The early paper's Table 1 and Figures 3 and 4."""

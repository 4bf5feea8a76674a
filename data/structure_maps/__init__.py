"""Structure maps: extraction (Algorithms 1, 2), filter (Algorithm 3), choice of a label that fits."""

"""Structure maps: extraction (Algorithms 1 and 2), filter (Algorithm 3) and fitting labels."""

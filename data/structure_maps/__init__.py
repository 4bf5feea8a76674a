"""Structure maps: extraction (Algorithms 1, 2), filter (Algorithm 3), labels that fit a map."""

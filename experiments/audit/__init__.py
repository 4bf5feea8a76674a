"""Privacy audit of a synthetic set."""

"""The main system (map follows)."""

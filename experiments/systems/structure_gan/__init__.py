"""The stages of the main system."""

"""BRATS: cases on disk, label schemes, slices, checks, and the phantom in the same format."""

"""Colour photographs of the retina: DRIVE with vessel labels, FIRE in pairs without."""

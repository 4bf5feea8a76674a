"""The names of BRATS: its modalities in the batch's order, its classes and regions."""

from __future__ import annotations

MODALITIES = ("T1", "T2", "T1c", "Flair")
LABEL_NAMES = ("background", "necrosis", "oedema", "non-enhancing", "enhancing")
NUM_CLASSES = len(LABEL_NAMES)
# Of normal brain, as tissue maps number them from 1 on.
TISSUES = ("CSF", "grey matter", "white matter")
TISSUE_FOLDER = "tissue_maps"  # of the data folder
# Whole tumour, tumour core (all but oedema) and enhancing tumour, as BRATS scores them.
REGIONS = {"wt": (1, 2, 3, 4), "tc": (1, 3, 4), "et": (4,)}

# Key of the dataset.json of an export: its slices, for those who read them back.
EXPORTED_SLICES = "slices_of_patients"

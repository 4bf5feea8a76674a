"""nnU-Net's raw folders as data sets, whatever their modalities and labels are."""

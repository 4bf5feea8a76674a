"""Translated volumes keep the grid and the position codes of files from other releases."""

from __future__ import annotations

import nibabel
import numpy as np

from data.volumes import read_volume, write_volume
from tests.experiments.test_translate import brain, run


def test_a_volume_on_the_grid_of_another_release_keeps_grid_and_position_codes(
    tiny_variants, tmp_path, monkeypatch
):
    """182x218x182 voxels, as BraTS 2024 has them, with a position in MNI space in sform only."""
    array = brain()[:, 11:229, 29:211]
    image = nibabel.Nifti1Image(array.T, np.diag((-1.0, -1.0, 1.0, 1.0)))
    image.set_sform(image.affine, 4)
    nibabel.save(image, tmp_path / "head.nii.gz")
    write_volume(tmp_path / "whole.nii.gz", brain())
    for name in ("head", "whole"):
        words = (
            "--run",
            tiny_variants / "variants" / "mgan",
            "--input",
            tmp_path / f"{name}.nii.gz",
        )
        assert run(monkeypatch, *words, "--out", tmp_path / "out") == 0
    made = nibabel.load(tmp_path / "out" / "head_synthetic_T1.nii.gz")
    assert made.header["sform_code"] == 4 and made.header["qform_code"] == 0
    np.testing.assert_array_equal(made.affine, image.affine)
    whole = read_volume(tmp_path / "out" / "whole_synthetic_T1.nii.gz").array
    found = read_volume(tmp_path / "out" / "head_synthetic_T1.nii.gz").array
    np.testing.assert_array_equal(found, whole[:, 11:229, 29:211])
    assert found.any()

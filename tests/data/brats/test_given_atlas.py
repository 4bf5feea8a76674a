"""An atlas of the user's: cut and scaled like slices, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.brats.given_atlas import read_atlas
from data.brats.slices import SliceConfig
from data.volumes import write_volume
from tests.data.trees import TINY, tiny_case, write_tree
from utils.errors import UserError

NAMES = ("T1", "T2", "T1c", "Flair")
FILES = ("t1.nii.gz", "T2.mha", "T1C.nii", "flair.nii.gz")


def write(folder, arrays=None, **options):
    arrays = tiny_case(1).images if arrays is None else arrays
    for name, file in zip(NAMES, FILES):
        write_volume(folder / file, arrays[name], **options)
    return folder


@pytest.mark.parametrize("changes", [{}, {"downsample": 2, "scaling": "percentile"}])
def test_it_has_the_slices_of_a_patient_with_the_same_volumes(tmp_path, changes):
    config: SliceConfig = replace(TINY, **changes)
    write_tree(tmp_path / "data", "flat2015", 1)
    (case,) = BRATS.find(tmp_path / "data", config)
    slices = BRATS.prepare(case, BRATS.settle([case], config))
    atlas = read_atlas(write(tmp_path / "atlas"), NAMES, config)
    np.testing.assert_array_equal(atlas.images, slices.images)
    assert atlas.first == slices.index[0] == 1 and atlas.images.dtype == np.float32


def test_other_files_in_the_folder_do_not_count(tmp_path):
    (write(tmp_path) / "README.txt").touch()
    assert read_atlas(tmp_path, NAMES, TINY).images.shape == (4, 8, 8, 4)


def test_too_few_too_many_and_unknown_volumes_are_refused(tmp_path):
    text = r"--atlas .* one volume for each of T1, T2, T1c, Flair, .* found"
    with pytest.raises(UserError, match=f"{text} none; add"):
        read_atlas(tmp_path / "nowhere", NAMES, TINY)
    write(tmp_path)
    (tmp_path / FILES[2]).rename(tmp_path / "T1Gd.nii")
    with pytest.raises(UserError, match=f"{text} T1Gd.nii, T2.mha, flair.nii.gz, t1.nii.gz; add"):
        read_atlas(tmp_path, NAMES, TINY)
    (tmp_path / "T1Gd.nii").rename(tmp_path / FILES[2])
    write_volume(tmp_path / "T1.mha", tiny_case(1).images["T1"])
    with pytest.raises(UserError, match=f"{text} T1.mha, T1C.nii"):
        read_atlas(tmp_path, NAMES, TINY)
    with pytest.raises(UserError, match="one volume for each of T1, T2, APTw"):
        read_atlas(tmp_path, ("T1", "T2", "APTw"), TINY)


def test_other_grids_are_refused(tmp_path):
    with pytest.raises(UserError, match="must have a spacing of 1 mm along each axis"):
        read_atlas(write(tmp_path / "coarse", spacing=(1, 1, 2)), NAMES, TINY)
    small = {name: array[:, :-1] for name, array in tiny_case(1).images.items()}
    with pytest.raises(UserError, match="6 x 12 x 10 voxels of --slicing.frame, found 6 x 11 x 10"):
        read_atlas(write(tmp_path / "small", small), NAMES, TINY)
    folder = write(tmp_path / "moved")
    write_volume(folder / FILES[3], tiny_case(1).images["Flair"], origin=(2.0, 0.0, 0.0))
    with pytest.raises(UserError, match="must share one grid, but the origin of"):
        read_atlas(folder, NAMES, TINY)

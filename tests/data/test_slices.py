from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.contract import MODALITIES
from data.label_schemes import resolve_scheme
from data.slices import SliceConfig, output_size, prepare_subject
from data.subjects import find_subjects
from data.volumes import write_volume
from tests.data.trees import LAYOUTS, SHAPE, TINY, Case, case_files, tiny_case, write_case
from utils.errors import UserError


def one_subject(root, case: Case, layout: str = "flat2015"):
    write_case(case_files(root, layout), case)
    return find_subjects(root)[0]


def test_defaults_are_the_papers_crop():
    config = SliceConfig()
    assert output_size(config) == (184, 144)
    assert config.slices[1] - config.slices[0] == 50
    assert output_size(replace(config, downsample=2)) == (92, 72)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_tree_gives_the_same_slices(tmp_path, layout):
    case = tiny_case(7)
    subject = one_subject(tmp_path, case, layout)
    requested = "brats2023" if layout == "brats2023" else None
    images, label = prepare_subject(subject, TINY, resolve_scheme([subject], requested))
    assert images.dtype == np.float32 and label.dtype == np.uint8
    for index, name in enumerate(MODALITIES):
        volume = case.images[name].astype(np.float64)
        scaled = (volume - volume.min()) / (volume.max() - volume.min())
        np.testing.assert_allclose(images[..., index], scaled[1:5, 2:10, 1:9], atol=1e-7)
    np.testing.assert_array_equal(label, case.label[1:5, 2:10, 1:9])


def test_extremes_outside_the_crop_set_the_scale(tmp_path):
    case = tiny_case()
    for array in case.images.values():
        array[:] = 100
        array[2, 5, 5] = 200
    case.images["T2"][0, 0, 0], case.images["T2"][5, 0, 0] = -300, 500
    images, _ = prepare_subject(one_subject(tmp_path, case), TINY, "brats2015")
    lit = images[1, 3, 4]  # voxel (2, 5, 5) of the volume
    np.testing.assert_allclose(lit, [1.0, 500 / 800, 1.0, 1.0])
    np.testing.assert_allclose(images[0, 0, 0], [0.0, 400 / 800, 0.0, 0.0])


def test_the_full_range_of_16_bit_does_not_wrap_and_a_healthy_case_is_allowed(tmp_path):
    case = Case(tiny_case().images, np.zeros(SHAPE, np.uint8))
    case.images["T1"][2, 4, 4], case.images["T1"][2, 5, 5] = -32768, 32767
    images, label = prepare_subject(one_subject(tmp_path, case), TINY, "brats2015")
    assert images[1, 2, 3, 0] == 0.0 and images[1, 3, 4, 0] == 1.0
    assert images.min() >= 0.0 and images.max() <= 1.0 and not label.any()


def test_downsampling_averages_images_and_votes_on_labels(tmp_path):
    case = tiny_case(3)
    case.label[1, 2:4, 1:7] = [[4, 4, 1, 2, 0, 2], [4, 0, 1, 2, 3, 3]]
    config = replace(TINY, downsample=2)
    subject = one_subject(tmp_path, case)
    images, label = prepare_subject(subject, config, "brats2015")
    full, _ = prepare_subject(subject, TINY, "brats2015")
    assert images.shape == (4, *output_size(config), 4) and label.shape == (4, 4, 4)
    assert images.dtype == np.float32 and label.dtype == np.uint8
    np.testing.assert_allclose(images[2, 1, 3], full[2, 2:4, 6:8].mean(axis=(0, 1)), rtol=1e-6)
    assert label[0, 0, :3].tolist() == [4, 1, 3]  # clear, tie of 1 and 2, clear


def test_a_constant_volume_and_a_foreign_label_outside_the_crop_are_refused(tmp_path):
    case = tiny_case()
    case.images["T1c"][:] = 7
    with pytest.raises(UserError, match=r"MR_T1c\.\d+\.mha is constant \(every voxel is 7\)"):
        prepare_subject(one_subject(tmp_path / "constant", case), TINY, "brats2015")
    case = tiny_case()
    case.label[0, 0, 0] = 9
    with pytest.raises(UserError, match="values 9"):
        prepare_subject(one_subject(tmp_path / "foreign", case), TINY, "brats2015")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 12, 10), r"has 4 slices but --slicing\.slices ends at 5"),
        ((6, 9, 10), r"has 9 rows but --slicing\.rows ends at 10"),
        ((6, 12, 8), r"has 8 columns but --slicing\.columns ends at 9"),
    ],
)
def test_a_volume_smaller_than_the_crop(tmp_path, shape, message):
    with pytest.raises(UserError, match=message):
        prepare_subject(one_subject(tmp_path, tiny_case(0, shape)), TINY, "brats2015")


def test_a_label_on_another_grid(tmp_path):
    case = tiny_case()
    subject = one_subject(tmp_path, case)
    write_volume(subject.label, case.label, spacing=(1.0, 1.0, 2.0))
    with pytest.raises(UserError, match="spacing"):
        prepare_subject(subject, TINY, "brats2015")


def test_a_case_stored_the_other_way_round_gives_the_same_slices(tmp_path):
    case = tiny_case(5)
    plain = prepare_subject(one_subject(tmp_path / "plain", case), TINY, "brats2015")
    subject = one_subject(tmp_path / "turned", case)
    for name, path in subject.images.items():  # the label stays as it was
        flipped = case.images[name][:, ::-1, ::-1]
        write_volume(path, flipped, origin=(9, 11, 0), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for expected, found in zip(plain, prepare_subject(subject, TINY, "brats2015")):
        np.testing.assert_array_equal(expected, found)


def test_voxels_of_another_size_are_refused(tmp_path):
    case = tiny_case()
    subject = one_subject(tmp_path, case)
    for path in (*subject.images.values(), subject.label):
        write_volume(path, case.label, spacing=(1.0, 1.0, 2.0))
    with pytest.raises(UserError, match=r"OT\.\d+\.mha must .* found 1 x 1 x 2 mm; resample"):
        prepare_subject(subject, TINY, "brats2015")


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"slices": (5, 5)}, "slices"),
        ({"rows": (-1, 7)}, "rows"),
        ({"columns": (9, 1)}, "columns"),
        ({"downsample": 0}, "downsample"),
        ({"downsample": 3}, "downsample"),
    ],
)
def test_an_impossible_configuration_names_the_option(change, option):
    with pytest.raises(UserError, match=rf"--slicing\.{option}"):
        replace(TINY, **change)

"""Cases of an export: what is chosen, whose labels they have, where they lie, what is written."""

from __future__ import annotations

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from data.brats.dataset import BRATS
from data.brats.slices import SliceConfig
from data.brats.volumes import VolumeConfig
from data.contract import Place
from data.pipeline import lesion_labels
from data.synthetic_sets import export
from data.synthetic_sets.export import (
    Grid,
    as_volumes,
    chosen_samples,
    label_sources,
    place_of,
    real_cases,
    synthetic_cases,
    value_names,
    write_plain,
)
from data.volumes import write_volume
from tests.data.sets import write_set
from tests.data.trees import (
    TINY,
    Case,
    case_files,
    prepare,
    tiny_case,
    write_case,
    write_tree,
)
from utils.errors import UserError

GRID = Grid.of(TINY)
VALUES = tuple(range(5))


@pytest.fixture
def directory(tmp_path):
    """A synthetic set of three samples, of which the last was not selected."""
    return write_set(tmp_path / "synthetic", [True, True, False], noise=True)


@pytest.fixture
def prepared(tmp_path):
    return prepare(write_tree(tmp_path / "tree", "nested2015"), tmp_path / "cache")


def test_the_corner_is_the_centre_of_the_first_pixel():
    assert GRID == ((1, 1, 1), (1, 2))
    coarse = Grid.of(SliceConfig(rows=(34, 226), columns=(48, 192), downsample=2))
    assert coarse == ((2, 2, 1), (48.5, 34.5))  # between the voxels 48 and 49, 34 and 35


def test_samples_are_chosen_by_selection_and_list(directory, tmp_path):
    assert chosen_samples(directory)["sample"].tolist() == [0, 1, 2]
    assert chosen_samples(directory, selected=True)["sample"].tolist() == [0, 1]
    table = pd.read_csv(directory / "samples.csv")
    table.assign(more=1)[1:2].to_csv(tmp_path / "list.csv", index=False)
    chosen = chosen_samples(directory, tmp_path / "list.csv")
    assert chosen["sample"].tolist() == [0, 2]
    table[:0].to_csv(tmp_path / "none.csv", index=False)
    assert len(chosen_samples(directory, tmp_path / "none.csv")) == 3


def test_a_list_of_something_else_is_refused(directory, tmp_path):
    table = pd.read_csv(directory / "samples.csv")
    table.assign(score=0.5)[:2].to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UserError, match="lists 2 samples, of which 0 are in this"):
        chosen_samples(directory, tmp_path / "other.csv")
    table[["sample"]].to_csv(tmp_path / "short.csv", index=False)
    for name in ("short.csv", "missing.csv"):
        with pytest.raises(UserError, match="must be a list with the columns sample, file"):
            chosen_samples(directory, tmp_path / name)
    table.to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(UserError, match="None of the 3 samples"):
        chosen_samples(directory, tmp_path / "all.csv")
    with pytest.raises(UserError, match="not a finished synthetic set"):
        chosen_samples(tmp_path)


def test_files_hold_the_arrays_and_their_place(directory, prepared, tmp_path):
    cases = [
        *synthetic_cases(directory, chosen_samples(directory, selected=True)),
        *real_cases(prepared, prepared.subject_ids),
    ]
    rows = write_plain(tmp_path / "out", cases, BRATS, GRID, ".nii.gz", VALUES)
    assert len(cases) == len(rows) == 2 + 2 * 4
    image = sitk.ReadImage(str(tmp_path / "out" / "images" / "synthetic_000001_T2.nii.gz"))
    with np.load(directory / "samples" / "synthetic_000001.npz") as arrays:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], arrays["images"][..., 1])
    assert image.GetOrigin() == (1, 2, 0) and image.GetSpacing() == (1, 1, 1)
    header = nibabel.load(tmp_path / "out" / "labels" / "real_0001_003.nii.gz").header
    assert header["sform_code"] == header["qform_code"] == 1
    np.testing.assert_allclose(header.get_sform(), header.get_qform())
    label = sitk.ReadImage(str(tmp_path / "out" / "labels" / "real_0001_003.nii.gz"))
    assert label.GetPixelIDValue() == sitk.sitkUInt8 and label.GetOrigin() == (1, 2, 3)
    expected = tiny_case(2).label[3, 2:10, 1:9]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label)[0], expected)
    row = rows[rows["case"] == "real_0001_003"].iloc[0]
    assert (row["kind"], row["patient"], row["slice"]) == ("real", 1, 3)
    assert "label_source" not in rows


def test_real_slices_lie_where_they_were_cut_from(tmp_path):
    """Also where the volumes are oblique, stored back to front and off the origin."""
    cosine, sine = np.cos(0.1), np.sin(0.1)
    direction = (-cosine, -sine, 0, -sine, cosine, 0, 0, 0, 1)
    files = case_files(tmp_path / "tree", "flat2015")
    case = tiny_case()
    arrays = {**case.images, "label": case.label}
    for kind, array in arrays.items():
        write_volume(files[kind], array, origin=(5, -239, 30), direction=direction)
    prepared = prepare(tmp_path / "tree", tmp_path / "cache")
    volumes = as_volumes(real_cases(prepared, prepared.subject_ids))
    write_plain(tmp_path, volumes, BRATS, GRID, ".nii.gz", VALUES)
    whole = sitk.ReadImage(str(files["label"]))
    part = sitk.ReadImage(str(tmp_path / "labels" / "real_0000.nii.gz"))
    for index in np.ndindex(part.GetSize()):
        index = tuple(map(int, index))
        point = part.TransformIndexToPhysicalPoint(index)
        assert whole[whole.TransformPhysicalPointToIndex(point)] == part[index]
    assert sitk.GetArrayViewFromImage(part).any()


def test_volumes_stack_slices_in_place(directory, prepared, tmp_path):
    real = list(real_cases(prepared, prepared.subject_ids))
    del real[1]  # as if slice 2 of the first patient had no signal
    synthetic = synthetic_cases(directory, chosen_samples(directory))
    volumes = list(as_volumes([*synthetic, *real]))
    assert [v.name for v in volumes] == ["synthetic_0000", "real_0000", "real_0001"]
    assert [v.images.shape for v in volumes] == [(n, 8, 8, 4) for n in (3, 4, 4)]
    first = volumes[1]
    assert first.axial == 1 and not first.images[1].any() and not first.label[1].any()
    np.testing.assert_array_equal(first.images[2], real[1].images[0])
    assert [row["index"] for row in first.rows] == [0, 2, 3]
    write_plain(tmp_path, volumes, BRATS, GRID, ".mha", VALUES)
    assert sitk.ReadImage(str(tmp_path / "labels" / "real_0000.mha")).GetSize() == (8, 8, 4)


def test_synthetic_cases_tell_whose_label_they_have(directory, prepared):
    """Samples 0, 1, 2 have label sources 40, 41, 42."""
    chosen = chosen_samples(directory)
    sources = [(9, "nobody")] * 40 + [(0, "first"), (1, "second"), (1, "second")]
    cases = list(synthetic_cases(directory, chosen, sources))
    assert [case.patients for case in cases] == [("first",), ("second",), ("second",)]
    assert [case.rows[0]["label_patient"] for case in cases] == [0, 1, 1]
    (stack,) = as_volumes(cases)
    assert [row["label_patient"] for row in stack.rows] == [0, 1, 1] and stack.patients == ()
    with pytest.raises(UserError, match="Sample 2 of .* has lesion label 42 of .* have 42; give"):
        list(synthetic_cases(directory, chosen, sources[:42]))
    plain = list(synthetic_cases(directory, chosen))
    assert all(not case.patients and "label_patient" not in case.rows[0] for case in plain)


def test_synthetic_cases_tell_whose_lesion_they_have_beside(directory, prepared):
    """Sample 1 has that of slice 43 beside the label of slice 41."""
    chosen = chosen_samples(directory).assign(donor_source=[-1, 43, -1])
    sources = [(9, "nobody")] * 40 + [(0, "first"), (1, "second"), (1, "second"), (2, "third")]
    cases = list(synthetic_cases(directory, chosen, sources))
    assert [case.patients for case in cases] == [("first",), ("second", "third"), ("second",)]
    assert [case.rows[0].get("donor_patient") for case in cases] == [None, 2, None]
    with pytest.raises(UserError, match="Sample 1 of .* has lesion label 43 of .* have 43; give"):
        list(synthetic_cases(directory, chosen, sources[:43]))


def test_a_label_source_counts_the_labels_that_a_set_is_drawn_with(tmp_path):
    """Slices without lesion do not count; subjects in the order of the cache, not of the split."""
    tree, whole = tmp_path / "tree", tiny_case(1)
    for number, cut in ((1, slice(2, 4)), (2, slice(0, 0)), (3, slice(1, 2))):
        label = whole.label.copy()
        label[cut] = 0
        write_case(case_files(tree, "nested2015", number), Case(whole.images, label))
    prepared = prepare(tree, tmp_path / "cache")
    one, _, three = prepared.subject_ids
    assert len(lesion_labels(prepared, [three, one])) == 2 + 3
    first, last = map(BRATS.patient_of, (one, three))
    assert label_sources(prepared, [three, one]) == [(1, first)] * 2 + [(0, last)] * 3
    whole = label_sources(prepared, [three, one], every_slice=True)
    counts = dict(zip(prepared.subject_ids, prepared.slices_per_subject))
    assert whole == [(1, first)] * counts[one] + [(0, last)] * counts[three]


def test_held_out_cases_are_kept_apart(prepared, tmp_path):
    _, second = prepared.subject_ids
    cases = list(real_cases(prepared, [second], held_out=True))
    rows = write_plain(tmp_path / "out", cases, BRATS, GRID, ".mha", VALUES)
    assert set(rows["kind"]) == {"test"} and set(rows["patient"]) == {0}
    names = {path.name for path in (tmp_path / "out" / "test" / "labels").iterdir()}
    assert names == {f"test_0000_{axial:03d}.mha" for axial in range(1, 5)}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["test"]


def test_labels_are_written_in_other_numbers(directory, tmp_path):
    """Sample i has label i all over, of classes 0, 1, 2 here."""
    cases = synthetic_cases(directory, chosen_samples(directory))
    write_plain(tmp_path, cases, BRATS, GRID, ".mha", (0, 4, 3, 1, 2))
    for number, value in enumerate((0, 4, 3)):
        label = sitk.ReadImage(str(tmp_path / "labels" / f"synthetic_{number:06d}.mha"))
        assert np.unique(sitk.GetArrayFromImage(label)).tolist() == [value]
    names = {0: "background", 1: "necrosis and non-enhancing", 2: "oedema", 3: "enhancing"}
    assert value_names(BRATS, (0, 1, 2, 1, 3)) == names


def test_a_place_is_three_and_nine_numbers():
    row = {"sample": 4, "origin": "[1.0, -2.5, 0]", "direction": str(list(Place().direction))}
    assert place_of(row) == Place((1.0, -2.5, 0.0))
    for damage in ({"origin": "[1, 2]"}, {"direction": "x"}, {"origin": None}):
        with pytest.raises(UserError, match="Sample 4 of samples.csv must have three numbers"):
            place_of({**row, **damage})
    with pytest.raises(UserError, match="draw the set again"):
        place_of({"sample": 4})


def test_the_grid_of_volumes_is_that_of_their_voxels():
    grid = Grid.of(VolumeConfig(spacing=(3.0, 2.0, 1.0)))
    assert grid.spacing == (1.0, 2.0, 3.0)
    place = Place((5.0, 6.0, 7.0))
    case = export.Case("a", np.zeros((2, 2, 2, 1)), np.zeros((2, 2, 2)), ({},), place=place)
    assert grid.origin(case) == (5.0, 6.0, 7.0)

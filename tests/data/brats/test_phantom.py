"""The phantom: contents of a subject, its anatomy and lesion, and the tree of files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.filters import threshold_multiotsu

from data.brats import phantom
from data.brats.names import MODALITIES
from data.brats.phantom_anatomy import Anatomy, SmoothField, fit_axis
from data.brats.phantom_kinds import EASY, VARIED
from data.brats.phantom_lesion import grow_lesion
from utils.errors import UserError

SLICES = slice(55, 105)
MARGIN = 6
NECROSIS, OEDEMA, NON_ENHANCING, ENHANCING = 1, 2, 3, 4
# Of the first kind, as it was before there were others: seed 0, subject 0, along one column.
COLUMN = (80, slice(90, 171, 20), 120)
KNOWN = {
    "T1": [903, 260, 318, 859, 1035],
    "T2": [480, 748, 735, 487, 418],
    "T1c": [388, 125, 166, 366, 458],
    "Flair": [735, 271, 242, 987, 776],
}
KNOWN_LABEL = [8849247, 5680, 56815, 5123, 11135]  # voxels of each class


@pytest.fixture(scope="module")
def subject():
    """A high-grade subject."""
    return phantom.phantom_subject(seed=0, index=0)


@pytest.fixture(scope="module")
def low_grade():
    return phantom.phantom_subject(seed=0, index=4)


@pytest.fixture(scope="module")
def regions(subject):
    """Voxels per tissue: healthy ones by Otsu's thresholds of the T1 scan, others by the label."""
    label, t1 = subject["label"], subject["T1"]
    healthy = (label == 0) & (t1 > 0)
    low, high = threshold_multiotsu(t1[healthy], classes=3)
    return {
        "csf": healthy & (t1 < low),
        "grey": healthy & (t1 >= low) & (t1 < high),
        "white": healthy & (t1 >= high),
        "necrosis": label == NECROSIS,
        "oedema": label == OEDEMA,
        "non-enhancing": label == NON_ENHANCING,
        "enhancing": label == ENHANCING,
    }


def test_a_subject_has_int16_volumes_on_the_brats_grid(subject):
    assert set(subject) == {*MODALITIES, "label"}
    assert all(array.shape == (155, 240, 240) for array in subject.values())
    assert all(array.dtype == np.int16 for array in subject.values())
    assert np.unique(subject["label"]).tolist() == [0, 1, 2, 3, 4]  # of a high-grade lesion


def test_the_first_kind_stays_as_it_was(subject):
    assert np.bincount(subject["label"].ravel()).tolist() == KNOWN_LABEL
    for name, values in KNOWN.items():
        # Another processor may round otherwise.
        np.testing.assert_allclose(subject[name][COLUMN], values, atol=1)


def test_a_low_grade_lesion_has_no_necrosis_and_hardly_enhances(low_grade):
    counts = np.bincount(low_grade["label"].ravel(), minlength=5)
    assert counts[NECROSIS] == 0
    assert counts[NON_ENHANCING] > 5 * counts[ENHANCING]


def test_seed_and_index_change_the_subject(subject, low_grade):
    other_seed = phantom.phantom_subject(seed=1, index=0)
    assert not np.array_equal(other_seed["T1"], subject["T1"])
    assert not np.array_equal(low_grade["T1"], subject["T1"])


def test_the_background_is_zero_and_the_same_in_every_modality(subject):
    brain = subject["T1"] > 0
    for name in MODALITIES:
        np.testing.assert_array_equal(subject[name] != 0, brain)
        assert subject[name].min() == 0
    assert not subject["label"][~brain].any()


@pytest.mark.parametrize("name", ["subject", "low_grade"])
def test_the_brain_fills_the_crop_up_to_a_margin_and_most_slices_show_the_lesion(name, request):
    arrays = request.getfixturevalue(name)
    assert arrays["label"][SLICES].any((1, 2)).mean() >= 0.6
    brain = arrays["T1"][SLICES] > 0
    rows, columns = np.flatnonzero(brain.any((0, 2))), np.flatnonzero(brain.any((0, 1)))
    # Strictly: a brain that reached the margin's edge could have been cut off there.
    assert rows[0] > 38 + MARGIN and rows[-1] < 221 - MARGIN
    assert columns[0] > 48 + MARGIN and columns[-1] < 191 - MARGIN
    # ... and fills the crop: the head is not a small object in a large picture.
    assert rows[-1] - rows[0] > 140 and columns[-1] - columns[0] > 110


@pytest.mark.parametrize(
    ("modality", "darker_to_brighter"),
    [
        ("T1", "csf < grey < white"),
        ("T1", "csf < oedema < grey"),
        ("T1", "necrosis < enhancing < grey"),
        ("T1", "non-enhancing < grey"),
        ("T2", "white < grey < oedema < necrosis < csf"),
        ("T2", "grey < non-enhancing"),
        ("T1c", "csf < grey < white < enhancing"),
        ("T1c", "necrosis < oedema < grey"),
        ("Flair", "csf < white < grey < oedema"),
        ("Flair", "necrosis < grey < non-enhancing"),
    ],
)
def test_contrasts_are_in_the_order_of_the_modality(subject, regions, modality, darker_to_brighter):
    # Medians: a threshold also catches voxels that are half something else.
    medians = [np.median(subject[modality][regions[r]]) for r in darker_to_brighter.split(" < ")]
    assert medians == sorted(medians) and len(set(medians)) == len(medians)


@pytest.mark.parametrize("modality", MODALITIES)
def test_oedema_stands_out_from_both_tissues_in_every_modality(subject, regions, modality):
    oedema = subject[modality][regions["oedema"]]
    for tissue in ("grey", "white"):
        healthy = subject[modality][regions[tissue]]
        spread = np.sqrt((oedema.var() + healthy.var()) / 2)
        assert abs(oedema.mean() - healthy.mean()) > 1.2 * spread


@pytest.mark.parametrize("modality", MODALITIES)
def test_intensities_suit_a_min_max_normalisation(subject, regions, modality):
    scaled = subject[modality] / subject[modality].max()
    for tissue in ("grey", "white"):
        assert 0.3 < np.median(scaled[regions[tissue]]) < 0.92
    assert 0.0005 < (scaled[scaled > 0] == 1).mean() < 0.01
    if modality in ("T1", "Flair"):
        assert 0.15 < np.quantile(scaled[scaled > 0], 0.02) < 0.35


def test_a_smooth_field_interpolates_its_control_points_by_cubic_splines():
    field = SmoothField(np.random.default_rng(0), 6.0, (30, 40, 20))
    # Cubic B-splines reproduce a linear function of their control points' positions.
    positions = [6.0 * (np.arange(n) - 1) - 24 for n in field.control.shape[1:]]
    z, y, x = np.meshgrid(*positions, indexing="ij")
    field.control = (2 * z - y + 0.5 * x)[None].astype(np.float32)
    axes = [np.arange(0, 30, 2.5), np.arange(-7.0, 40.0), np.linspace(1, 19, 5)]
    expected = 2 * axes[0][:, None, None] - axes[1][:, None] + 0.5 * axes[2]
    np.testing.assert_allclose(field(axes)[0], expected, atol=1e-3)


def test_a_smooth_field_has_unit_variance():
    field = SmoothField(np.random.default_rng(0), 4.0, (60, 60, 60), channels=2)
    values = field([np.arange(60.0)] * 3)
    assert values.std((1, 2, 3)) == pytest.approx([1, 1], abs=0.1)


def test_fit_axis_centres_the_occupied_part_at_the_given_size():
    # Occupied from 10 to 28 mm in steps of 2: 20 mm wide, centre 19; shown 40 voxels wide of 61.
    profile = np.zeros(30, bool)
    profile[5:15] = True
    coordinates = fit_axis(profile, step=2.0, size=40, count=61)
    assert coordinates[30] == pytest.approx(19)
    assert coordinates[[10, 50]] == pytest.approx([9, 29])


def test_a_lesion_neither_enters_nor_crosses_csf():
    shape = (60, 60, 60)
    brain = np.ones(shape, bool)
    csf = np.zeros(shape, np.float32)
    csf[:, :, 34:44] = 1
    tissues = np.stack([csf, np.zeros_like(csf), 1 - csf])[:, brain]
    anatomy = Anatomy(brain, tissues, np.zeros(brain.sum()), np.array([[30.0, 30.0, 26.0]]))
    label = grow_lesion(np.random.default_rng(0), anatomy, EASY.lesions["HGG"])
    assert label[30, 30, 26] == NECROSIS
    assert label[:, :, 32].any()
    assert not label[:, :, 34:].any()


@pytest.fixture
def quick(monkeypatch):
    """Replaces the subjects by tiny volumes; returns the list of those that were made."""
    made = []

    def tiny_subject(seed, index, kind=EASY):
        made.append((seed, index))
        rng = np.random.default_rng((seed, index))
        return {name: rng.integers(0, 9, (2, 3, 4), np.int16) for name in (*MODALITIES, "label")}

    monkeypatch.setattr(phantom, "phantom_subject", tiny_subject)
    return made


def files(tree: Path) -> dict[str, bytes]:
    return {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file()}


def make(folder: Path, count: int, seed: int = 0) -> Path:
    return phantom.make_phantom(folder, count, seed, progress=False, workers=1)


def test_the_tree_has_the_names_of_brats_2015_and_holds_int16_at_one_millimetre(quick, tmp_path):
    tree = make(tmp_path / "made", 5, seed=3)
    assert tree == tmp_path / "made" / "BRATS2015_Training"
    names = sorted(files(tree))
    kinds = r"(VSD\.Brain\.XX\.O\.MR_(T1|T2|T1c|Flair)|VSD\.Brain_3more\.XX\.O\.OT)"
    pattern = re.compile(rf"(HGG|LGG)/\w+/({kinds}\.\d+)/\2\.mha")
    assert all(pattern.fullmatch(name) for name in names)
    assert len(names) == len({name.rsplit(".", 2)[1] for name in names}) == 25
    patients = sorted({name.rsplit("/", 2)[0] for name in names})
    assert [patient[:3] for patient in patients] == ["HGG"] * 4 + ["LGG"]
    image = sitk.ReadImage(str(next((tree / patients[0]).rglob("*.MR_T1c.*.mha"))))
    assert image.GetPixelID() == sitk.sitkInt16 and image.GetSpacing() == (1, 1, 1)
    made = [phantom.phantom_subject(3, index)["T1c"] for index in range(4)]
    assert sum(np.array_equal(sitk.GetArrayFromImage(image), array) for array in made) == 1


def test_a_larger_phantom_begins_with_the_smaller_one(quick, tmp_path):
    small, large = (files(make(tmp_path / str(count), count)) for count in (2, 4))
    assert len(large) == 2 * len(small)
    assert small.items() <= large.items()


def test_an_interrupted_build_leaves_nothing(quick, tmp_path, monkeypatch):
    write, calls = phantom.write_volume, []

    def interrupted_write(path, array):
        calls.append(path)
        if len(calls) == 7:
            raise KeyboardInterrupt
        write(path, array)

    monkeypatch.setattr(phantom, "write_volume", interrupted_write)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "made", 2)
    assert calls[0].parents[4].parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_the_cache_reuses_a_phantom_and_keeps_other_parameters_apart(quick, tmp_path):
    def cached(num_subjects, seed, kind=EASY):
        return phantom.cached_phantom(tmp_path, num_subjects, seed, False, 1, kind)

    assert cached(2, 0) == cached(2, 0) and quick == [(0, 0), (0, 1)]
    louder = VARIED._replace(scanner=VARIED.scanner._replace(noise=(0.1, 0.2)))
    others = (VARIED, VARIED._replace(version=VARIED.version + 1), louder)
    trees = {cached(1, 0), cached(1, 1), cached(2, 0), *(cached(1, 0, kind) for kind in others)}
    assert len(trees) == 6
    made = len(quick)
    assert cached(1, 0, louder) in trees and len(quick) == made


def test_the_first_kind_keeps_the_names_that_its_phantoms_have_in_caches(quick, tmp_path):
    # The hash of notice, version 1, 1 subject and seed 0, as they were before there were kinds.
    tree = phantom.cached_phantom(tmp_path, 1, 0, progress=False, workers=1)
    assert tree.parent.name == "phantom-e2accc628472"


def test_another_directory_is_never_overwritten(quick, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        make(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_numbers_that_make_no_phantom_are_errors(tmp_path):
    for num_subjects, workers in ((0, None), (1, 0)):
        with pytest.raises(UserError, match="at least 1"):
            phantom.make_phantom(tmp_path / "made", num_subjects, 0, workers=workers)
    with pytest.raises(UserError, match="-1"):
        phantom.phantom_subject(-1, 0)


def test_a_worker_process_writes_the_same_subject(subject, tmp_path, capfd):
    tree = phantom.make_phantom(tmp_path / "made", 1, seed=0, workers=2)
    assert "1/1" in capfd.readouterr().err
    for name in MODALITIES:
        image = sitk.ReadImage(str(next(tree.rglob(f"*.MR_{name}.*.mha"))))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), subject[name])


def test_the_phantom_does_not_import_tensorflow():
    program = "import sys, data.brats.phantom; sys.exit('tensorflow' in sys.modules)"
    root = Path(phantom.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root).returncode == 0

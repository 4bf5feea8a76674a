"""Kaggle's chest X-rays: children, classes, the published split, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.chest_xray.dataset import CHEST_XRAY, CLASSES, XrayConfig, divide, is_normal
from data.contract import IMAGE
from data.shards import prepare_shards
from data.slice_sets import real_slices
from utils.errors import UserError

CONFIG = XrayConfig(size=16)
NAMES = {
    "train/NORMAL": ("IM-0115-0001.jpeg", "IM-0115-0001-0002.jpeg", "NORMAL2-IM-0027-0001.jpeg"),
    "train/PNEUMONIA": ("person1_bacteria_1.jpeg", "person1_virus_6.jpeg", "person2_virus_7.jpeg"),
    "val/PNEUMONIA": ("person1946_bacteria_4874.jpeg",),
    "test/NORMAL": ("IM-0115-0001.jpeg",),
    "test/PNEUMONIA": ("person1_virus_8.jpeg",),
}


def write_tree(root: Path, names=NAMES, mode="L") -> Path:
    rng = np.random.default_rng(0)
    for folder, files in names.items():
        for file in files:
            path = root / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(rng.integers(0, 200, (24, 40), np.uint8)).convert(mode)
            picture.save(path)
    return root


def test_pictures_of_one_child_are_a_case(tmp_path):
    write_tree(tmp_path / "chest_xray")
    (tmp_path / "chest_xray" / "train" / "NORMAL" / "._IM-0115-0001.jpeg").write_bytes(b"x")
    cases = {case.id: case for case in CHEST_XRAY.find(tmp_path, CONFIG)}
    assert {name: case.classes for name, case in cases.items()} == {
        "test_IM-0115": (0,),
        "test_person1": (2,),
        "train_IM-0115": (0, 0),
        "train_NORMAL2-IM-0027": (0,),
        "train_person1": (1, 2),
        "train_person1946": (1,),  # of the small part val
        "train_person2": (2,),
    }
    assert [name for name in cases if is_normal(name)] == [
        "test_IM-0115",
        "train_IM-0115",
        "train_NORMAL2-IM-0027",
    ]
    assert CHEST_XRAY.find(tmp_path / "chest_xray", CONFIG)[0].id == "test_IM-0115"


def test_the_published_test_part_is_held_out():
    ids = ["train_a", "test_b", "train_IM-1", "test_IM-1"]
    split = divide(ids, 0.5, 0)
    assert split.test == ("test_IM-1", "test_b") and split.train == ("train_IM-1", "train_a")
    ids = [f"train_{name}{k}" for name in ("a", "IM-") for k in range(4)]
    other = divide(ids, 0.25, 0)  # a share of each kind
    assert len(other.test) == 2 and sum("IM-" in name for name in other.test) == 1
    assert sorted((*other.train, *other.test)) == sorted(ids)


@pytest.mark.parametrize(
    "ids, word", [(["train_a", "test_IM-1"], "normal"), (["train_IM-1", "test_b"], "ill")]
)
def test_training_children_of_one_kind_alone_are_refused(ids, word):
    with pytest.raises(UserError, match=f"found no {word} one among 1; add them to train/"):
        divide(ids, 0.5, 0)


def test_a_second_copy_inside_is_refused(tmp_path):
    write_tree(tmp_path)
    write_tree(tmp_path / "chest_xray")
    with pytest.raises(UserError, match="holds the X-rays twice, in train and in chest_xray/train"):
        CHEST_XRAY.find(tmp_path, CONFIG)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_labels_are_classes_of_images(tmp_path, mode):
    assert CHEST_XRAY.label_kind == IMAGE and CHEST_XRAY.classes == CLASSES
    cases = CHEST_XRAY.find(write_tree(tmp_path / "data", mode=mode), CONFIG)
    prepared = prepare_shards(CHEST_XRAY, cases, CONFIG, tmp_path / "cache", progress=False)
    slices = real_slices(prepared, ["train_person1", "train_IM-0115"])
    assert slices.images.shape == (4, 16, 16, 1)
    np.testing.assert_allclose(slices.images.min(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(slices.images.max(axis=(1, 2, 3)), 1, atol=1e-5)
    assert [np.unique(label).tolist() for label in slices.label] == [[0], [0], [1], [2]]
    assert prepared.lesions_per_subject[prepared.subject_ids.index("train_person1")] == 2


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("train/NORMAL", "person1_virus_6.jpeg"),
        ("train/PNEUMONIA", "IM-0115-0001.jpeg"),
        ("test/PNEUMONIA", "person7_fungus_1.jpeg"),
    ],
)
def test_a_name_that_tells_no_class_is_refused(tmp_path, folder, file):
    write_tree(tmp_path, {folder: (file,)})
    with pytest.raises(UserError, match=f"{file} must tell child and class, such as"):
        CHEST_XRAY.find(tmp_path, CONFIG)


def test_what_is_wrong_is_told(tmp_path):
    with pytest.raises(UserError, match="must hold train/NORMAL, train/PNEUMONIA"):
        CHEST_XRAY.find(tmp_path, CONFIG)
    twice = write_tree(tmp_path / "twice")
    (twice / "val" / "NORMAL").mkdir()
    picture = twice / "train" / "NORMAL" / "IM-0115-0001.jpeg"
    (twice / "val" / "NORMAL" / picture.name).write_bytes(picture.read_bytes())
    with pytest.raises(UserError, match="have one name; remove one of the two"):
        CHEST_XRAY.find(twice, CONFIG)
    root = write_tree(tmp_path / "data")
    Image.new("L", (40, 24), 7).save(root / "train" / "PNEUMONIA" / "person1_virus_6.jpeg")
    Image.new("L", (4, 4)).save(root / "test" / "NORMAL" / "IM-0115-0001.jpeg")
    cut = root / "train" / "PNEUMONIA" / "person1_bacteria_1.jpeg"
    cut.write_bytes(cut.read_bytes()[:300])
    cases = CHEST_XRAY.find(root, CONFIG)
    verdicts = CHEST_XRAY.verify(cases, CONFIG, tmp_path, progress=False)
    problems = {v.case.id: v.problems for v in verdicts if v.problems}
    assert set(problems) == {"train_person1", "test_IM-0115"}
    assert "found 24x40 with values 7 to 7" in " ".join(problems["train_person1"])
    assert "person1_bacteria_1.jpeg is damaged" in " ".join(problems["train_person1"])
    assert "16 pixels or more, found 4x4" in problems["test_IM-0115"][0]


def test_the_phantom_is_read_by_the_same_reader(tmp_path):
    root = CHEST_XRAY.phantoms["chest"].make(tmp_path, 15, 0)
    cases = CHEST_XRAY.find(root, CONFIG)
    verdicts = CHEST_XRAY.verify(cases, CONFIG, tmp_path, progress=False)
    assert len(cases) == 15 and not any(verdict.problems for verdict in verdicts)
    classes = [label for case in cases for label in case.classes]
    assert set(classes) == {0, 1, 2}
    split = divide([case.id for case in cases], 0.5, 0)
    assert len(split.test) == 3


def test_an_empty_training_folder_is_refused(tmp_path):
    root = write_tree(tmp_path)
    for file in (root / "train" / "NORMAL").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="train/NORMAL must hold X-rays, found none; classes are"):
        CHEST_XRAY.find(root, CONFIG)

"""Synthetic sets as picture files: PNG images, classes, COCO boxes, masks of the retina."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.pictures import read_picture
from data.retina.dataset import RETINA
from data.retina.rough_label import OUTSIDE, VESSEL, rough_label
from data.synthetic_sets.export import chosen_samples
from data.synthetic_sets.files import UNLABELLED, array_path
from data.synthetic_sets.images import coco, export_images
from tests.data.kinds import BOXED, CLASSES, boxes_of
from utils.runs.files import read_json, write_json, write_text

SIDE = 32


def write_set(folder: Path, channels: int, samples: int = 3, **arrays) -> Path:
    """A set of noise; `arrays` are functions from a sample's number to further arrays."""
    (folder / "samples").mkdir(parents=True)
    rows, rng = [], np.random.default_rng(0)
    for number in range(samples):
        images = rng.random((SIDE, SIDE, channels)).astype(np.float32)
        more = {name: make(number) for name, make in arrays.items()}
        np.savez(array_path(folder, number), images=images, **more)
        file = array_path(Path(), number).as_posix()
        row = {"sample": number, "file": file, "seed": "[0, 0]", "label_source": -1}
        rows.append({**row, "score": 0.5, "selected": number != 1})
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False)
    write_text(folder / "datasheet.md", "# Datasheet of a synthetic set\n")
    manifest = {"samples": samples, "selected": samples - 1, "rejected": {}}
    write_json(
        folder / "manifest.json", manifest if "label" in arrays else {**manifest, **UNLABELLED}
    )
    return folder


def images_of(folder: Path, number: int) -> np.ndarray:
    return np.load(array_path(folder, number))["images"]


def test_classes_are_a_table(tmp_path):
    folder = write_set(tmp_path / "set", 1, label=lambda k: np.full((SIDE, SIDE), k % 3, np.uint8))
    assert export_images(folder, tmp_path / "out", CLASSES, chosen_samples(folder)) == 3
    table = pd.read_csv(tmp_path / "out" / "labels.csv")
    assert table["class"].tolist() == ["a", "b", "c"] and table["number"].tolist() == [0, 1, 2]
    for number, file in enumerate(table["file"]):
        found = read_picture(tmp_path / "out" / file)
        expected = np.rint(images_of(folder, number)[..., 0] * 255)
        np.testing.assert_array_equal(found, expected)
    assert (tmp_path / "out" / "datasheet.md").exists()
    assert "not for diagnosis" in read_json(tmp_path / "out" / "manifest.json")["notice"]
    chosen = chosen_samples(folder, selected=True)
    assert export_images(folder, tmp_path / "selected", CLASSES, chosen) == 2
    chosen = pd.read_csv(tmp_path / "selected" / "labels.csv")
    assert chosen["file"].str.contains("000001").sum() == 0


def boxed_set(folder: Path) -> Path:
    return write_set(
        folder,
        3,
        label=lambda k: np.zeros((SIDE, SIDE), np.uint8),
        boxes=lambda k: boxes_of(0)[k % 2],
    )


def test_boxes_are_in_the_format_of_coco(tmp_path):
    folder = boxed_set(tmp_path / "set")
    export_images(folder, tmp_path / "out", BOXED, chosen_samples(folder))
    content = read_json(tmp_path / "out" / "annotations.json")
    assert [image["file_name"] for image in content["images"]] == [
        f"synthetic_{k:06d}.png" for k in range(3)
    ]
    assert all((tmp_path / "out" / "images" / i["file_name"]).exists() for i in content["images"])
    assert content["categories"] == [{"id": 1, "name": "large"}, {"id": 2, "name": "small"}]
    found = [(a["image_id"], a["category_id"], a["bbox"]) for a in content["annotations"]]
    large, small = [4.0, 8.0, 8.0, 16.0], [6.0, 14.0, 4.0, 4.0]
    assert found == [(1, 1, large), (2, 1, large), (2, 2, small), (3, 1, large)]
    assert [a["area"] for a in content["annotations"]] == [128.0, 128.0, 16.0, 128.0]
    assert [a["id"] for a in content["annotations"]] == [1, 2, 3, 4]


def test_cocos_own_tools_read_it(tmp_path):
    tools = pytest.importorskip("pycocotools.coco")
    folder = boxed_set(tmp_path / "set")
    export_images(folder, tmp_path / "out", BOXED, chosen_samples(folder))
    read = tools.COCO(str(tmp_path / "out" / "annotations.json"))
    assert len(read.getImgIds()) == 3 and len(read.getAnnIds()) == 4
    assert [c["name"] for c in read.loadCats(read.getCatIds())] == ["large", "small"]
    scored = [{**a, "score": 1.0} for a in read.dataset["annotations"]]
    assert len(read.loadRes(scored).getAnnIds()) == 4


def test_images_without_boxes_stay_in_the_list():
    content = coco(["a.png", "b.png"], [np.zeros((2, 5)), boxes_of(0)[0]], (8, 8), BOXED.classes)
    assert len(content["images"]) == 2 and [a["image_id"] for a in content["annotations"]] == [2]


def test_the_retina_has_masks(tmp_path):
    field = np.ones((SIDE, SIDE), np.uint8)
    field[2:30, 2:30] = 0
    lines = np.zeros((SIDE, SIDE), np.uint8)
    lines[2, 2:30] = lines[15, :] = 1
    folder = write_set(tmp_path / "set", 3, structure=lambda k: lines, outside=lambda k: field)
    small = replace(RETINA, classes=())
    export_images(folder, tmp_path / "out", small, chosen_samples(folder))
    name = "synthetic_000000.png"
    vessels, view = (
        read_picture(tmp_path / "out" / part / name) for part in ("vessels", "field_of_view")
    )
    np.testing.assert_array_equal(view, np.where(field, 0, 255))
    label = rough_label(lines[None], field[None])[0]
    np.testing.assert_array_equal(vessels, np.where(label == VESSEL, 255, 0))
    assert not (label[2] == VESSEL).any()  # the outline of the field is no vessel
    assert (label[15, 3:29] == VESSEL).all() and label[15, 0] == OUTSIDE
    assert read_picture(tmp_path / "out" / "images" / name).shape == (SIDE, SIDE, 3)

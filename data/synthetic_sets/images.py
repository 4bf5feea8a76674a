"""A synthetic set as picture files: PNG images, and labels as users of such data read them.

images/synthetic_000000.png      8 bits; grey, or three channels as red, green and blue
labels.csv                       file, class and its number, where a label is a class
annotations.json                 boxes in COCO's format, pixels
vessels/.., field_of_view/..     masks, 0 and 255, of photographs of the retina
manifest.json, datasheet.md      what was exported, and what the set is
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from data.contract import BOXES, IMAGE, DataSet
from data.synthetic_sets.files import DATASHEET, finished_manifest, read_sample
from utils.runs.files import write_json, write_text

IMAGES, ANNOTATIONS, LABELS = "images", "annotations.json", "labels.csv"
NOTICE = "Synthetic images made by neural networks; not for diagnosis."


def export_images(directory: Path, out: Path, dataset: DataSet, rows: pd.DataFrame) -> int:
    """Writes samples of a set into an empty folder; returns their number.

    Args:
        directory: the set.
        out: the folder.
        dataset: that the run learned from.
        rows: the samples, see `chosen_samples`.

    Raises UserError for a sample that is damaged.
    """
    names, labels = [], []
    for row in rows.itertuples():
        sample = read_sample(directory / row.file, dataset.has_label)
        names.append(f"synthetic_{row.sample:06d}.png")
        _write(out / IMAGES / names[-1], sample["images"])
        labels.append(_label_of(sample, dataset, out, names[-1]))
    if dataset.label_kind == IMAGE:
        files = [f"{IMAGES}/{name}" for name in names]
        kinds = [dataset.classes[number] for number in labels]
        table = pd.DataFrame({"file": files, "class": kinds, "number": labels})
        write_text(out / LABELS, table.to_csv(index=False))
    if dataset.label_kind == BOXES:
        size = sample["images"].shape[:2]
        write_json(out / ANNOTATIONS, coco(names, labels, size, dataset.classes))
    manifest = finished_manifest(directory)
    own = {"notice": NOTICE, "images": len(names), "dataset": dataset.name}
    write_json(out / "manifest.json", {**own, "synthetic_set": manifest})
    write_text(out / DATASHEET, (directory / DATASHEET).read_text(encoding="utf-8"))
    return len(names)


def _label_of(sample: Mapping[str, np.ndarray], dataset: DataSet, out: Path, name: str) -> Any:
    """Returns a sample's label; masks that its map gives are written instead."""
    if dataset.label_kind == IMAGE and dataset.has_label:
        return int(sample["label"][0, 0])
    if dataset.label_kind == BOXES:
        return sample["boxes"]
    if dataset.masks:
        for kind, mask in dataset.masks(sample["structure"], sample["outside"]).items():
            _write(out / kind / name, mask.astype(np.float32))
    return None


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    eight_bits = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(eight_bits[..., 0] if eight_bits.shape[2:] == (1,) else eight_bits).save(path)


def coco(
    names: Sequence[str],
    boxes: Sequence[np.ndarray],
    size: tuple[int, int],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Returns boxes in COCO's format for object detection.

    Args:
        names: files of the images.
        boxes: rows [N,5] of each image, see `data.boxes`.
        size: (H, W) of the images, pixels.
        classes: names, background first; a category has the number of its class.
    """
    height, width = size
    images = [
        {"id": number, "file_name": name, "height": height, "width": width}
        for number, name in enumerate(names, start=1)
    ]
    kinds = [{"id": k, "name": name} for k, name in enumerate(classes) if k]
    found = list(_annotations(boxes, size))
    info = {"description": NOTICE}
    return {"info": info, "images": images, "categories": kinds, "annotations": found}


def _annotations(boxes: Sequence[np.ndarray], size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    height, width = size
    count = 0
    for image, rows in enumerate(boxes, start=1):
        for kind, cx, cy, w, h in np.asarray(rows, float).tolist():
            if kind:
                count += 1
                left, top = (cx - w / 2) * width, (cy - h / 2) * height
                sides = w * width, h * height
                yield {
                    "id": count,
                    "image_id": image,
                    "category_id": int(kind),
                    "bbox": [left, top, *sides],
                    "area": sides[0] * sides[1],
                    "iscrowd": 0,
                }

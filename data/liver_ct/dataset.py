"""Abdominal CT with a liver and its lesions as volumes, for systems of three dimensions.

Files are those of LiTS (`volume-<n>.nii` with `segmentation-<n>.nii`, in any folders) or raw for
nnU-Net and the Decathlon (`imagesTr` with `labelsTr`); labels are 1 in the liver and 2 in a lesion.
A case becomes one volume around its liver, on voxels of any size: Hounsfield units of a window in
(0,1], and 0 outside of the body. The body outside of the liver is a class of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from data.contract import CaseSlices, DataSet, Phantom
from data.cropping import CropConfig, cropped, inside_only, verify_volumes, volume_size
from data.grids import check_same_geometry
from data.hounsfield import AIR, WINDOW_RULE, check_hounsfield, windowed
from data.liver_ct.phantom import cached_phantom
from data.resampling import resampled
from data.volumes import SUFFIXES, read_volume, stem_of
from utils.errors import UserError, check_fields

CHANNELS = ("CT",)
CLASSES = ("background", "body", "liver", "lesion")
BODY, LIVER, LESION = 1, 2, 3  # of `CLASSES`
TO_FILE = (0, 0, 1, 2)  # value of each class in files
FROM_FILE = np.array([0, LIVER, LESION], np.uint8)  # classes of the values in files
VOLUME, SEGMENTATION = "volume", "segmentation"
THINNEST = 8.0  # mm; what is thinner, such as the patient table, is not the body
_LITS = re.compile(rf"({VOLUME}|{SEGMENTATION})-(\d+)", re.IGNORECASE)
_FOLDERS = {"imagesTr": VOLUME, "labelsTr": SEGMENTATION}
_CHANNEL = "_0000"  # nnU-Net's, of the first and only channel


@dataclass(frozen=True)
class LiverConfig(CropConfig):
    """Which part of each scan becomes a volume, of what voxels and intensities.

    Args:
        window: Hounsfield units that become 0 and 1; values beyond are clipped.
    """

    spacing: tuple[float, float, float] = (2.0, 1.5, 1.5)
    crop: tuple[float, float, float] = (208.0, 240.0, 288.0)
    window: tuple[float, float] = (-160.0, 240.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, "--slicing.", window=WINDOW_RULE)


@dataclass(frozen=True)
class LiverCase:
    """The files of one scan that were found in a folder, complete or not.

    `files` holds them by kind, VOLUME and SEGMENTATION.
    """

    id: str
    files: Mapping[str, tuple[Path, ...]] = field(compare=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the volume first."""
        return tuple(path for kind in _FOLDERS.values() for path in self.files.get(kind, ()))

    def problems(self) -> list[UserError]:
        """Returns an error for each kind of file that is missing or there twice."""
        found = []
        for kind in _FOLDERS.values():
            paths = self.files.get(kind, ())
            if len(paths) > 1:
                text = f"has two files of its {kind}, {paths[0]} and {paths[1]}; remove one of them"
            elif not paths:
                text = f"has {self.paths[0]} but no {kind}; add it or remove the case"
            else:
                continue
            found.append(UserError(f"Case {self.id} {text}."))
        return found


def find(folder: Path, config: LiverConfig) -> list[LiverCase]:
    """Returns the cases below a folder, in the order of their names.

    Raises UserError if there are none.
    """
    folder = Path(folder)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")
    ]
    labels = {stem_of(path) for path in files if path.parent.name == "labelsTr"}
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in files:
        name, kind = _recognised(path, labels)
        if kind:
            found[name][kind].append(path)
    if not found:
        raise UserError(
            f"{folder} must hold scans such as volume-0.nii with segmentation-0.nii, or the "
            "folders imagesTr and labelsTr with volumes of the same names, found none; give the "
            "folder that holds them."
        )
    return [
        LiverCase(name, {kind: tuple(paths) for kind, paths in kinds.items()})
        for name, kinds in sorted(found.items())
    ]


def _recognised(path: Path, labels: set[str]) -> tuple[str, str]:
    """Returns the name of a file's case and its kind, "" for other files."""
    stem = stem_of(path)
    match = _LITS.fullmatch(stem)
    if match:
        return f"{VOLUME}-{match[2]}", match[1].lower()
    kind = _FOLDERS.get(path.parent.name, "")
    if kind == VOLUME and stem not in labels:
        stem = stem.removesuffix(_CHANNEL)
    return stem, kind


def prepare(case: LiverCase, config: LiverConfig) -> CaseSlices:
    """Returns the one volume of a case.

    Raises:
        UserError: a file that is missing, there twice or unreadable, differing geometries, values
            that are no Hounsfield units, a label without liver or with other values, or a scan
            without body.
    """
    for problem in case.problems():
        raise problem
    path, label_path = case.paths
    stored = {each: read_volume(each) for each in (path, label_path)}
    check_same_geometry(stored)
    check_hounsfield(f"The volume {path}", stored[path].array, ", or remove the case")
    label = replace(stored[label_path], array=_classes(label_path, stored[label_path].array))
    label = resampled(label, config.spacing[::-1], label=True)
    scan = resampled(stored[path], config.spacing[::-1], label=False).array
    liver = label.array > 0
    if not liver.any():
        raise UserError(
            f"The label {label_path} must have the value 1 in the liver, found none that is as "
            f"large as a voxel of --slicing.spacing {config.spacing}; remove the case."
        )
    body = body_mask(scan, config.spacing) | liver
    values = np.where(liver, label.array, BODY * body)
    images = inside_only(windowed(scan, config.window), body)[..., None]
    return cropped(liver, images, values, label, config)


def _classes(path: Path, array: np.ndarray) -> np.ndarray:
    """Returns a file's label [D,H,W] in `CLASSES`, uint8."""
    unknown = array[~np.isin(array, range(len(FROM_FILE)))]
    if unknown.size:
        raise UserError(
            f"The label {path} must be 0, 1 in the liver and 2 in its lesions, found the value "
            f"{unknown[0]:g}; correct it or remove the case."
        )
    return FROM_FILE[array.astype(np.uint8)]


def body_mask(hu: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Returns where the body is, bool [D,H,W], with the air inside of it.

    It is the largest part above `AIR` that is thicker than `THINNEST`; a table and limbs beside it
    are left out.

    Args:
        hu: [D,H,W], Hounsfield units.
        spacing: depth, height and width of a voxel, mm.
    """
    half = [int(THINNEST / 2 / side) for side in spacing]
    # At the ends of a scan the body goes on.
    padded = np.pad(hu > AIR, [(k, k) for k in half], mode="edge")
    opened = ndimage.binary_opening(padded, np.ones([2 * k + 1 for k in half], bool))
    opened = opened[tuple(slice(k, k + side) for k, side in zip(half, hu.shape))]
    parts, number = ndimage.label(opened)
    if not number:
        return opened
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return np.stack([ndimage.binary_fill_holes(section) for section in largest])


LIVER_VOLUMES = DataSet(
    name="liver_ct",
    channels=CHANNELS,
    classes=CLASSES,
    regions={"liver": (LIVER, LESION), "lesion": (LESION,)},
    map_constants="tianchi_ct",
    patient_of=str,
    find=find,
    phantoms={
        "abdomen": Phantom(
            cached_phantom, "built-in phantom, abdominal CT (computed shapes, not medical data)"
        )
    },
    settle=lambda cases, config: config,
    prepare=prepare,
    size=volume_size,
    most_slices=lambda config: 1,
    verify=partial(verify_volumes, prepare=prepare, first_lesion=LESION),
    verify_script="experiments/verify_data.py --dataset liver_ct",
    rank=3,
    first_lesion=LESION,
    organ=LIVER,
)

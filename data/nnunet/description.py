"""The dataset.json of an nnU-Net raw folder: which modalities and labels there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.runs.files import read_json, write_json

FILE = "dataset.json"
BRAIN_NAMES = ("brain", "normal brain", "normal_brain", "healthy", "tissue")


@dataclass(frozen=True)
class Description:
    """What nnU-Net calls a data set.

    Attributes:
        channels: names of the modalities, in the order of their files _0000, _0001, ...
        labels: names of the label values 0, 1, ..., background first.
        ending: of all files, such as ".nii.gz".
    """

    channels: tuple[str, ...]
    labels: tuple[str, ...]
    ending: str = ".nii.gz"

    @property
    def has_brain(self) -> bool:
        """Whether label value 1 is normal tissue."""
        return len(self.labels) > 1 and self.labels[1].lower() in BRAIN_NAMES

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels with normal brain as class 1, which is put in if there is none."""
        background, *lesions = self.labels
        return self.labels if self.has_brain else (background, "brain", *lesions)

    def write(self, folder: Path, cases: int) -> None:
        """Writes dataset.json for so many cases."""
        content = {
            "channel_names": {str(k): name for k, name in enumerate(self.channels)},
            "labels": {name: value for value, name in enumerate(self.labels)},
            "numTraining": cases,
            "file_ending": self.ending,
        }
        write_json(folder / FILE, content)


def read_description(folder: Path) -> Description:
    """Reads the dataset.json of a raw folder, of nnU-Net v2 or v1.

    Raises UserError if there is none, if it is damaged, has regions in the place of labels, or
    label values that are not 0, 1, 2 and so on.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(
            f"{folder} has no {FILE}; give an nnU-Net raw folder, with imagesTr and labelsTr"
        )
    try:
        content = read_json(path, dict)
        channels = content.get("channel_names") or content["modality"]
        regions = [name for name, values in content["labels"].items() if isinstance(values, list)]
        if regions:
            raise UserError(
                f"{path} has regions ({', '.join(regions)}) in the place of labels, which overlap "
                "and are not read; give a folder with plain labels, or export without --regions"
            )
        names = tuple(str(channels[key]) for key in sorted(channels, key=int))
        labels = _by_value(content["labels"])
        ending = str(content.get("file_ending", ".nii.gz"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} must have channel_names and labels as nnU-Net wants them, found "
            f"{type(error).__name__} {error}; correct it"
        ) from error
    if IGNORE in labels.values():
        raise UserError(
            f"{path} has the label {IGNORE!r}, of voxels whose class is unknown, which is not "
            "read; give them a class, or leave out the cases that have them and the label"
        )
    if sorted(labels) != list(range(len(labels))) or len(labels) < 2 or not names:
        raise UserError(
            f"{path} must have one or more channels and labels with the values 0, 1, 2 and so on, "
            f"found {', '.join(names) or 'none'} and {sorted(labels)}; correct it, or give plain "
            "labels instead of regions"
        )
    return Description(names, tuple(labels[value] for value in sorted(labels)), ending)


IGNORE = "ignore"  # as nnU-Net calls it


def _by_value(labels: Mapping[str, Any]) -> dict[int, str]:
    """Returns names by value; nnU-Net v1 has them the other way round."""
    if all(str(key).isdecimal() for key in labels):
        return {int(key): str(name) for key, name in labels.items()}
    return {int(value): str(name) for name, value in labels.items()}

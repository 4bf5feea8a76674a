"""What the page of experiments/paint.py asks: brains, images of a painted label, changes, files."""

from __future__ import annotations

import base64
import functools
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np

from data.brats.names import LABEL_NAMES
from data.brats.slices import pixel_size
from data.grids import StoredGrid
from data.manipulation import changed, in_organ, lesion_classes
from data.nifti import packed_nifti
from data.random_lesions import random_lesion
from experiments.engine.resuming import saved_run
from experiments.systems.structure_gan.rendering import Brain, LabelRenderer
from utils.errors import UserError
from utils.reporting.pictures import PALETTE, to_uint8
from utils.serving.messages import BINARY, Reply, Request, Route, download, fixed, json_reply

SEEDS = 2**31
BRAINS = 32  # that are kept: the next request for one is answered at once
MOST_VARIATIONS = 64
TRIES = 10  # random brains for each variation
CHANGES = ("mirror", "grow", "shrink", "move")
SLACK = 1024  # bytes of a request besides the label
ZIP = "application/zip"
PHANTOM = "Phantom images, not medical data."
SYNTHETIC = "Synthetic images, not for diagnosis."


class Painted(NamedTuple):
    """What a page has sent.

    Attributes:
        number: of the random brain.
        brain: its maps, of one slice.
        label: uint8 [1,h,w], classes of BRATS 2015, 0 outside of the brain.
        seed: of the noise.
    """

    number: int
    brain: Brain
    label: np.ndarray
    seed: int


class Painter:
    """Answers the page with a run's networks; nothing is kept of what is painted.

    Args:
        renderer: the networks.
        phantom: whether they learned from the phantom.
    """

    def __init__(self, renderer: LabelRenderer, phantom: bool):
        self.renderer, self.phantom = renderer, phantom
        self._brain = functools.lru_cache(BRAINS)(renderer.random_brain)
        self._pixel = pixel_size(renderer.config.slicing)

    def routes(self) -> list[Route]:
        """Returns the routes below the page; networks are asked one after the other."""
        height, width = self.renderer.size
        limit = SLACK + 4 * (height * width + 2) // 3  # of the label in base64
        return [
            fixed("/settings.json", json_reply(self.settings())),
            Route("GET", "/brain", self.brain, in_turn=True),
            Route("POST", "/render", self.render, limit, in_turn=True),
            Route("POST", "/random", self.random, limit, in_turn=True),
            Route("POST", "/change", self.change, limit, in_turn=True),
            Route("POST", "/download", self.download, limit, in_turn=True),
        ]

    def warm_up(self) -> None:
        """Draws a slice, so that the first request does not wait for graphs to be built."""
        brain = self._brain(0)
        self.renderer.found(self.renderer.images(brain, np.zeros_like(brain.outside), 0))

    def settings(self) -> dict[str, Any]:
        """Returns what the page has to know before it asks for anything."""
        return {
            "size": self.renderer.size,
            "sequences": self.renderer.sequences,
            "classes": LABEL_NAMES,
            "colours": PALETTE,
            "notice": PHANTOM if self.phantom else SYNTHETIC,
            "most": MOST_VARIATIONS,
        }

    def brain(self, request: Request) -> Reply:
        """Returns mask and lines of the random brain `number`."""
        brain = self._brain(_number(request.query, "number", SEEDS))
        return json_reply({name: _packed(part[0]) for name, part in brain._asdict().items()})

    def render(self, request: Request) -> Reply:
        """Returns the modalities of a painted label, and what the segmenters find in each."""
        begin = time.perf_counter()
        painted = self._painted(request.json())
        images = self.renderer.images(painted.brain, painted.label, painted.seed)
        found = self.renderer.found(images)
        scores = self.renderer.scores(found, painted.label)
        return json_reply(
            {
                "images": [_packed(to_uint8(image)) for image in np.moveaxis(images[0], -1, 0)],
                "found": [_packed(label) for label in np.moveaxis(found[0], -1, 0)],
                "dice": [scores.get(name) for name in self.renderer.sequences],
                "milliseconds": round(1000 * (time.perf_counter() - begin)),
            }
        )

    def random(self, request: Request) -> Reply:
        """Returns the random lesion `seed` in the page's brain."""
        painted = self._painted(request.json())
        rng = np.random.default_rng(painted.seed)
        lesion = random_lesion(painted.brain.outside[0] == 0, rng, [self._pixel] * 2)
        return json_reply({"label": _packed(lesion)})

    def change(self, request: Request) -> Reply:
        """Returns the painted label after `change`, such as "grow:1.2" or "move:2:0"."""
        content = request.json()
        painted, words = self._painted(content), content.get("change")
        if not isinstance(words, str) or words.partition(":")[0] not in CHANGES:
            raise UserError(f"The change must be one of {', '.join(CHANGES)}; reload the page")
        label = changed(in_organ(painted.label[0], painted.brain.outside[0] == 0), words)
        return json_reply({"label": _packed(lesion_classes(label))})

    def download(self, request: Request) -> Reply:
        """Returns the label's modalities as a file: `kind` npz or nii, `variations` slices.

        The first slice is that of the page; further ones are other random brains that the lesion
        fits, with other noise. There are fewer of them if few brains fit.
        """
        content = request.json()
        painted = self._painted(content)
        count = _number(content, "variations", MOST_VARIATIONS + 1)
        if content.get("kind") not in ("npz", "nii") or count < 1:
            raise UserError("A download is npz or nii with 1 variation or more; reload the page")
        chosen = self._variations(painted, count)
        images = [self.renderer.images(one.brain, one.label, one.seed) for one in chosen]
        arrays = {
            "images": np.concatenate(images),
            "label": np.concatenate([one.label for one in chosen]),
            **{
                name: np.concatenate([getattr(one.brain, name) for one in chosen]).astype(np.uint8)
                for name in Brain._fields
            },
        }
        if content["kind"] == "npz":
            reply = download("painted.npz", BINARY, _npz(arrays))
        else:
            reply = download("painted.zip", ZIP, self._niftis(arrays))
        return reply._replace(headers={**reply.headers, "X-Brains": str(len(chosen))})

    def _variations(self, painted: Painted, count: int) -> list[Painted]:
        chosen, number = [painted], painted.number
        for _ in range(TRIES * (count - 1)):
            if len(chosen) == count:
                break
            number = (number + 1) % SEEDS
            brain = self._brain(number)
            if not (painted.label[brain.outside > 0]).any():
                seed = (painted.seed + len(chosen)) % SEEDS
                chosen.append(Painted(number, brain, painted.label, seed))
        return chosen

    def _niftis(self, arrays: dict[str, np.ndarray]) -> bytes:
        """Returns a ZIP archive with a volume of each modality and of the label.

        Slices lie one above the other as in a scan, but each is a brain of its own.
        """
        names = (*self.renderer.sequences, "label")
        volumes = [*np.moveaxis(arrays["images"], -1, 0), arrays["label"]]
        shape = volumes[0].shape
        spacing = (self._pixel, self._pixel, 1.0)
        grid = StoredGrid(shape[::-1], spacing, (0.0,) * 3, tuple(np.eye(3).ravel()))
        file = io.BytesIO()
        with ZipFile(file, "w") as archive:
            for name, volume in zip(names, volumes):
                archive.writestr(f"{name}.nii.gz", packed_nifti(volume, grid))
        return file.getvalue()

    def _painted(self, content: dict[str, Any]) -> Painted:
        number, seed = (_number(content, name, SEEDS) for name in ("brain", "seed"))
        label = _unpacked(content.get("label"), self.renderer.size)
        brain = self._brain(number)
        if label[brain.outside[0] > 0].any():
            raise UserError("The lesion lies outside of the brain; reload the page")
        return Painted(number, brain, label[None], seed)


def painter_of(run: Path) -> Painter:
    """Returns what answers the page with a run's networks, compiled already.

    Raises UserError if the folder holds no finished run of the main system.
    """
    painter = Painter(LabelRenderer(run), saved_run(run, "--run needs")["data"] is None)
    painter.warm_up()
    return painter


def _number(content: Any, name: str, limit: int) -> int:
    """Returns a whole number from 0 to below `limit`; UserError for anything else."""
    value = content.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < limit:
        raise UserError(f"{name} must be a whole number from 0 to {limit - 1}; reload the page")
    return value


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.uint8).tobytes()).decode()


def _unpacked(text: Any, size: Sequence[int]) -> np.ndarray:
    """Returns a label [h,w] from its bytes in base64; UserError for other sizes or values."""
    try:
        content = base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise UserError("The label must be bytes in base64; reload the page") from error
    if len(content) != size[0] * size[1]:
        raise UserError(f"The label must have {size[0]}x{size[1]} pixels; reload the page")
    label = np.frombuffer(content, np.uint8).reshape(size)
    if label.max() >= len(LABEL_NAMES):
        raise UserError(f"The label must hold 0 to {len(LABEL_NAMES) - 1}; reload the page")
    return label


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()

"""Built-in phantom: BRATS-like subjects in the file tree of BRATS 2015.

A demonstration and test object, not medical data: it shows that a pipeline runs and learns, and
says nothing about patients. Healthy anatomy comes from `phantom_anatomy`, lesions from
`phantom_lesion`; here they get four MR contrasts, a scanner's imperfections and file names.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from data.brats.names import MODALITIES
from data.brats.phantom_anatomy import BOX, GRID, Anatomy, SmoothField, draw_anatomy
from data.brats.phantom_lesion import ENHANCING, NECROSIS, NON_ENHANCING, OEDEMA, grow_lesion
from data.volumes import write_volume
from utils.errors import UserError
from utils.runs.files import making_folder, write_json

PHANTOM_VERSION = 1
TREE = "BRATS2015_Training"
MANIFEST = "phantom.json"
NOTICE = "Computer-made demonstration and test object, not medical data."
# Relative signal of CSF, grey and white matter, the T1 template's detail, then labels 1..4.
SIGNALS = {
    "T1": (0.19, 0.58, 0.79, 1.0, 0.24, 0.32, 0.38, 0.47),
    "T2": (0.95, 0.55, 0.41, -1.0, 0.84, 0.76, 0.66, 0.58),
    "T1c": (0.16, 0.46, 0.61, 0.8, 0.19, 0.26, 0.33, 0.95),
    "Flair": (0.17, 0.50, 0.42, -0.6, 0.36, 0.86, 0.70, 0.66),
}
# How much of the healthy signal each of labels 1..4 replaces, and by how much that varies.
REPLACED = {
    NECROSIS: (1.0, 0.0),
    OEDEMA: (0.75, 0.09),
    NON_ENHANCING: (0.85, 0.05),
    ENHANCING: (1.0, 0.05),
}


def grade_of(index: int) -> str:
    """Grade of subject `index`: every fifth is low-grade ("LGG"), the others are "HGG"."""
    return "LGG" if index % 5 == 4 else "HGG"


def mixture(rng: np.random.Generator, anatomy: Anatomy, label: np.ndarray) -> np.ndarray:
    """What every brain voxel consists of [8,N] float32, in the order of a row of `SIGNALS`.

    Lesion parts are blurred over the voxel's size (partial volume) and let some of the anatomy
    below shine through, here more, there less; `label` [Z,Y,X] stays crisp.
    """
    box = tuple(
        slice(max(part.start - 4, 0), part.stop + 4) for part in ndimage.find_objects(label > 0)[0]
    )
    label = label[box]
    axes = [np.arange(float(n)) for n in label.shape]
    density = SmoothField(rng, 10.0, label.shape)(axes)[0]
    parts = np.zeros((len(REPLACED), *anatomy.brain.shape), np.float32)
    for k, (share, variation) in REPLACED.items():
        fraction = ndimage.gaussian_filter((label == k).astype(np.float32), 0.8, truncate=3.0)
        parts[(k - 1, *box)] = fraction * np.clip(share + variation * density, 0, 1)
    parts = parts[:, anatomy.brain]
    healthy = 1 - parts.sum(0)
    return np.concatenate([anatomy.tissues * healthy, [anatomy.detail * healthy], parts])


def scan(
    rng: np.random.Generator, contents: np.ndarray, brain: np.ndarray, modality: str
) -> np.ndarray:
    """One volume [Z,Y,X] int16 of `modality`: contrast, texture, bias field, Rician noise, scale.

    `contents` [8,N] comes from `mixture`, `brain` [Z,Y,X] is the mask of its N voxels. The
    background is exactly 0, the brain at least 1 and at most a random scale of 500..1800.
    """
    axes = [np.arange(float(n)) for n in brain.shape]
    signals = np.array(SIGNALS[modality]) * rng.normal(1, 0.03, contents.shape[0])
    image = np.einsum("c,cn->n", signals.astype(np.float32), contents)
    texture = SmoothField(rng, 5.0, brain.shape)(axes)[0][brain]
    bias = SmoothField(rng, 80.0, brain.shape)(axes)[0][brain]
    image *= np.exp(np.float32(0.012) * texture + np.float32(rng.uniform(0.03, 0.07)) * bias)
    noise = np.float32(rng.uniform(0.010, 0.022))
    real, imaginary = noise * rng.standard_normal((2, image.size), dtype=np.float32)
    image = np.hypot(image + real, imaginary)
    # A scanner's brightest 0.1 % would otherwise set the range of the min-max normalisation.
    image = np.minimum(image / np.quantile(image, 0.999), 1)
    volume = np.zeros(brain.shape, np.int16)
    volume[brain] = np.maximum(np.rint(image * rng.uniform(500, 1800)), 1)
    return volume


def phantom_subject(seed: int, index: int) -> dict[str, np.ndarray]:
    """Arrays [155,240,240] int16 of one subject: the four `MODALITIES` and `label` (0..4).

    A function of its two arguments only. Not medical data. Raises UserError for negative ones.
    """
    if seed < 0 or index < 0:
        raise UserError(
            f"The phantom's seed and subject must be 0 or more, found {seed} and {index}; "
            "choose others."
        )
    rng = np.random.default_rng((seed, index))
    anatomy = draw_anatomy(rng)
    label = grow_lesion(rng, anatomy, grade_of(index))
    contents = mixture(rng, anatomy, label)
    arrays = {name: scan(rng, contents, anatomy.brain, name) for name in MODALITIES}
    arrays["label"] = label
    volumes = {}
    for name, array in arrays.items():
        volumes[name] = np.zeros(GRID, np.int16)
        volumes[name][BOX] = array
    return volumes


def write_subject(tree: Path, seed: int, index: int) -> None:
    """Write the five volumes of one subject under `tree`, named as in BRATS 2015."""
    patient = tree / grade_of(index) / f"phantom_pat{index + 1:04d}_1"
    for k, (name, array) in enumerate(phantom_subject(seed, index).items()):
        kind = "_3more.XX.O.OT" if name == "label" else f".XX.O.MR_{name}"
        stem = f"VSD.Brain{kind}.{10000 + 5 * index + k}"
        write_volume(patient / stem / f"{stem}.mha", array)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent stops its workers itself.


def _write_all(tree: Path, num_subjects: int, seed: int, workers: int) -> Generator:
    write = partial(write_subject, tree, seed)
    if workers == 1:
        yield from map(write, range(num_subjects))
        return
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_ignore_interrupt
    )
    try:
        futures = [executor.submit(write, index) for index in range(num_subjects)]
        yield from (future.result() for future in as_completed(futures))
    finally:
        executor.shutdown(cancel_futures=True)


def _parameters(num_subjects: int, seed: int) -> dict[str, object]:
    return {
        "notice": NOTICE,
        "version": PHANTOM_VERSION,
        "num_subjects": num_subjects,
        "seed": seed,
    }


def _is_finished(root: Path, parameters: dict[str, object]) -> bool:
    manifest = root / MANIFEST
    return manifest.is_file() and json.loads(manifest.read_text()) == parameters


def make_phantom(
    root: Path,
    num_subjects: int,
    seed: int,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Write `num_subjects` phantoms and return the tree `root/BRATS2015_Training`.

    Files are `{HGG,LGG}/<patient>/VSD.Brain.XX.O.MR_T1.<id>/VSD.Brain.XX.O.MR_T1.<id>.mha` etc.,
    int16 [155,240,240] at 1 mm. A demonstration and test object, not medical data. Subject k is a
    function of (seed, k), so a larger phantom begins with a smaller one. `root` appears only when
    it is complete; a finished one with the same parameters is reused. `workers` processes (default:
    one per CPU and subject) share the work. Raises UserError if `root` holds something else, or
    cannot be written.
    """
    root = Path(root).expanduser().resolve()
    workers = min(os.cpu_count() or 1, num_subjects) if workers is None else workers
    if num_subjects < 1 or workers < 1:
        raise UserError(
            f"The phantom needs at least 1 subject and 1 worker, got {num_subjects} subjects and "
            f"{workers} workers; ask for more."
        )
    parameters = _parameters(num_subjects, seed)
    try:
        if _is_free(root):
            with making_folder(root) as unfinished:
                with closing(_write_all(unfinished / TREE, num_subjects, seed, workers)) as done:
                    bar = tqdm(done, "phantom", num_subjects, unit="subject", disable=not progress)
                    for _ in bar:
                        pass
                write_json(unfinished / MANIFEST, parameters)
    except OSError as error:
        raise UserError(
            f"Cannot write the phantom to {root.parent} ({error.strerror}); check its rights or "
            "choose another --cache."
        ) from error
    if not _is_finished(root, parameters):
        raise UserError(
            f"{root} exists but is not the phantom of {num_subjects} subjects with seed {seed}; "
            "choose another directory or remove it."
        )
    return root / TREE


def _is_free(root: Path) -> bool:
    return not root.exists() or (root.is_dir() and not any(root.iterdir()))


def cached_phantom(
    cache: Path,
    num_subjects: int,
    seed: int,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Tree of the phantom kept at `cache/phantom-<hash of its parameters>`, built when missing.

    The hash covers the number of subjects, the seed and `PHANTOM_VERSION`; see `make_phantom`.
    """
    text = json.dumps(_parameters(num_subjects, seed), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    return make_phantom(Path(cache) / f"phantom-{key}", num_subjects, seed, progress, workers)

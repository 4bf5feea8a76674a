"""Built-in phantom: BRATS-like subjects in the file tree of BRATS 2015.

A demonstration and test object, not medical data: it shows that a pipeline runs and learns, and
says nothing about patients. Healthy anatomy comes from `phantom_anatomy`, lesions from
`phantom_lesion`, what else a brain shows from `phantom_findings`, the four MR contrasts from
`phantom_scan`, and how much all this varies from `phantom_kinds`; here they get file names.
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
from typing import Callable, NamedTuple

import numpy as np
from tqdm import tqdm

from data.brats.names import MODALITIES, TISSUE_FOLDER
from data.brats.phantom_anatomy import BOX, GRID, Anatomy, draw_anatomy, tissue_map
from data.brats.phantom_findings import draw_mimics, with_cavity
from data.brats.phantom_kinds import EASY, PhantomKind
from data.brats.phantom_lesion import grow_lesion
from data.brats.phantom_scan import mixture, scan
from data.volumes import write_volume
from utils.errors import UserError
from utils.runs.files import making_folder, write_json

TREE = "BRATS2015_Training"
MANIFEST = "phantom.json"
TERMS = (
    "The phantom is deformed from the ICBM 152 (MNI152) templates of 2009 that nilearn ships. "
    "nilearn gives their licence as unknown; their terms are those of the McConnell Brain Imaging "
    "Centre, <http://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009>."
)
NOTICE = "Computer-made demonstration and test object, not medical data."


def grade_of(index: int) -> str:
    """Grade of subject `index`: every fifth is low-grade ("LGG"), the others are "HGG"."""
    return "LGG" if index % 5 == 4 else "HGG"


def phantom_subject(seed: int, index: int, kind: PhantomKind = EASY) -> dict[str, np.ndarray]:
    """Arrays [155,240,240] int16 of one subject: the four `MODALITIES` and `label` (0..4).

    A function of its arguments only. Not medical data. Raises UserError for a negative seed or
    index.
    """
    if seed < 0 or index < 0:
        raise UserError(
            f"The phantom's seed and subject must be 0 or more, found {seed} and {index}; "
            "choose others."
        )
    rng, extra, anatomy = _begin(seed, index, kind)
    label = grow_lesion(rng, anatomy, kind.lesions[grade_of(index)])
    mimics = draw_mimics(extra, anatomy, label, kind.findings) if kind.findings else None
    contents = mixture(rng, anatomy, label, mimics)
    arrays = {
        name: scan(rng, extra, contents, anatomy.brain, name, kind.scanner) for name in MODALITIES
    }
    arrays["label"] = label
    return {name: in_grid(array.astype(np.int16)) for name, array in arrays.items()}


def _begin(
    seed: int, index: int, kind: PhantomKind
) -> tuple[np.random.Generator, np.random.Generator, Anatomy]:
    """The two sources of a subject's random numbers, and its anatomy, drawn from them first."""
    rng, extra = np.random.default_rng((seed, index)), np.random.default_rng((seed, index, 1))
    anatomy = draw_anatomy(rng, kind.sites)
    if kind.findings:
        anatomy = with_cavity(extra, anatomy, kind.findings)
    return rng, extra, anatomy


def in_grid(array: np.ndarray) -> np.ndarray:
    """The volume [155,240,240] of an array on `BOX`, 0 outside of it."""
    volume = np.zeros(GRID, array.dtype)
    volume[BOX] = array
    return volume


def phantom_tissues(seed: int, index: int, kind: PhantomKind) -> np.ndarray:
    """Tissues [155,240,240] uint8 of a subject as `tissue_map` numbers them, its lesion left out.

    A function of its arguments only.
    """
    _, _, anatomy = _begin(seed, index, kind)
    return in_grid(tissue_map(anatomy))


def case_name(index: int) -> str:
    """The case id of subject `index`."""
    return f"phantom_pat{index + 1:04d}_1"


def write_subject(tree: Path, seed: int, kind: PhantomKind, index: int) -> None:
    """Write the five volumes of one subject under `tree`, named as in BRATS 2015."""
    patient = tree / grade_of(index) / case_name(index)
    for k, (name, array) in enumerate(phantom_subject(seed, index, kind).items()):
        suffix = "_3more.XX.O.OT" if name == "label" else f".XX.O.MR_{name}"
        stem = f"VSD.Brain{suffix}.{10000 + 5 * index + k}"
        write_volume(patient / stem / f"{stem}.mha", array)


class Tree(NamedTuple):
    """What a phantom's files look like.

    Attributes:
        name: of the folder in the phantom's root.
        write: function from (folder, seed, kind, index) that writes a subject's files.
        case: function from a subject's index to its case id.
        tissues: function from (seed, index, kind) to a subject's tissues, see `phantom_tissues`.
        finish: function from (folder, number of subjects) that writes what belongs to all.
    """

    name: str
    write: Callable[[Path, int, PhantomKind, int], None]
    case: Callable[[int], str]
    tissues: Callable[[int, int, PhantomKind], np.ndarray]
    finish: Callable[[Path, int], None] = lambda folder, num_subjects: None


BRATS_TREE = Tree(TREE, write_subject, case_name, phantom_tissues)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent stops its workers itself.


def _write_all(
    write: Callable[[int], None], num_subjects: int, workers: int | None, progress: bool
) -> None:
    """Calls `write` with every subject's index in `workers` processes (None: one per CPU)."""
    workers = min(os.cpu_count() or 1, num_subjects) if workers is None else workers
    with closing(_writing(write, num_subjects, workers)) as done:
        for _ in tqdm(done, "phantom", num_subjects, unit="subject", disable=not progress):
            pass


def _writing(write: Callable[[int], None], num_subjects: int, workers: int) -> Generator:
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


def _parameters(num_subjects: int, seed: int, kind: PhantomKind) -> dict[str, object]:
    parameters = {
        "notice": NOTICE,
        "version": kind.version,
        "num_subjects": num_subjects,
        "seed": seed,
    }
    # Without an entry of its own, a cached easy phantom of any version of this code is valid.
    if kind is not EASY:
        parameters["kind"] = json.loads(json.dumps(kind._asdict()))
    return parameters


def _is_finished(root: Path, parameters: dict[str, object]) -> bool:
    manifest = root / MANIFEST
    return manifest.is_file() and json.loads(manifest.read_text()) == parameters


def make_phantom(
    root: Path,
    num_subjects: int,
    seed: int,
    progress: bool = True,
    workers: int | None = None,
    kind: PhantomKind = EASY,
    tree: Tree = BRATS_TREE,
) -> Path:
    """Write `num_subjects` phantoms and return their folder, such as `root/BRATS2015_Training`.

    In BRATS' tree files are `{HGG,LGG}/<patient>/VSD.Brain.XX.O.MR_T1.<id>/<the same>.mha` and so
    on, int16 [155,240,240] at 1 mm. A demonstration and test object, not medical data. Subject k is
    a function of (kind, seed, k), so a larger phantom begins with a smaller one. `root` appears
    only when it is complete; a finished one with the same parameters is reused. `workers` processes
    (default: one per CPU and subject) share the work. Raises UserError if `root` holds something
    else, or cannot be written.
    """
    root = Path(root).expanduser().resolve()
    if num_subjects < 1 or (workers is not None and workers < 1):
        raise UserError(
            f"The phantom needs at least 1 subject and 1 worker, got {num_subjects} subjects and "
            f"{workers} workers; ask for more."
        )
    parameters = _parameters(num_subjects, seed, kind)
    try:
        if _is_free(root):
            with making_folder(root) as unfinished:
                folder = unfinished / tree.name
                write = partial(tree.write, folder, seed, kind)
                _write_all(write, num_subjects, workers, progress)
                tree.finish(folder, num_subjects)
                write_json(unfinished / MANIFEST, parameters)
    except OSError as error:
        raise UserError(
            f"Cannot write the phantom to {root.parent} ({error.strerror}); check its rights or "
            "choose another --cache."
        ) from error
    if not _is_finished(root, parameters):
        raise UserError(
            f"{root} exists but is not the {kind.name} phantom of {num_subjects} subjects with "
            f"seed {seed}; choose another directory or remove it."
        )
    return root / tree.name


def _is_free(root: Path) -> bool:
    return not root.exists() or (root.is_dir() and not any(root.iterdir()))


def cached_phantom(
    cache: Path,
    num_subjects: int,
    seed: int,
    progress: bool = True,
    workers: int | None = None,
    kind: PhantomKind = EASY,
    tree: Tree = BRATS_TREE,
) -> Path:
    """Folder of the phantom kept at `cache/phantom-<hash of its parameters>`, built when missing.

    The hash covers the number of subjects, the seed and the kind; see `make_phantom`.
    """
    text = json.dumps(_parameters(num_subjects, seed, kind), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    root = Path(cache) / f"phantom-{key}"
    return make_phantom(root, num_subjects, seed, progress, workers, kind, tree)


def write_tissue_maps(
    folder: Path,
    num_subjects: int,
    seed: int,
    kind: PhantomKind = EASY,
    tree: Tree = BRATS_TREE,
) -> None:
    """Adds the tissue map of each subject to a phantom's folder, unless they are there.

    They lie in its `TISSUE_FOLDER` and are named by the cases' ids. No other file changes.
    """
    maps = folder / TISSUE_FOLDER
    if not maps.is_dir():
        with making_folder(maps) as unfinished:
            write = partial(_write_tissues, unfinished, seed, kind, tree.case, tree.tissues)
            _write_all(write, num_subjects, None, True)


def _write_tissues(
    folder: Path,
    seed: int,
    kind: PhantomKind,
    case: Callable[[int], str],
    tissues: Callable[[int, int, PhantomKind], np.ndarray],
    index: int,
) -> None:
    write_volume(folder / f"{case(index)}.nii.gz", tissues(seed, index, kind))

"""Built-in phantom of SAMR's own setting: five sequences after an operation, with a cavity.

A demonstration and test object, not medical data. Anatomy, lesion and scans are those of the BRATS
phantom; a resection cavity lies beside what is left of the tumour, and the fifth sequence looks
like amide proton transfer weighted imaging: tumour bright, oedema hardly, less resolution.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from data.brats.phantom import TERMS, Tree, cached_phantom, in_grid, write_tissue_maps
from data.brats.phantom_anatomy import Anatomy, draw_anatomy, tissue_map
from data.brats.phantom_findings import cavity_share, draw_mimics, with_csf
from data.brats.phantom_kinds import POSTSURGICAL, PhantomKind
from data.brats.phantom_lesion import OEDEMA, grow_lesion
from data.brats.phantom_scan import mixture, scan
from data.contract import DataSet, Phantom
from data.nnunet.dataset import described_dataset
from data.nnunet.description import Description
from data.volumes import write_volume

# Sequence of the paper -> contrast of the phantom.
SEQUENCES = {"T1": "T1", "Gd-T1": "T1c", "T2": "T2", "FLAIR": "Flair", "APTw": "APTw"}
DESCRIPTION = Description(tuple(SEQUENCES), ("background", "brain", "oedema", "cavity", "tumour"))
BRAIN, OEDEMA_LABEL, CAVITY, TUMOUR = 1, 2, 3, 4
APTW_BLUR = 2.0  # mm


def postsurgical_subject(seed: int, index: int, kind: PhantomKind) -> dict[str, np.ndarray]:
    """Arrays [155,240,240] of one subject: int16 of each of `SEQUENCES`, and `label`, uint8 0..4.

    A function of its arguments only. Not medical data.
    """
    rng, extra, anatomy, share = _begin(seed, index, kind)
    lesion = grow_lesion(rng, anatomy, kind.lesions["HGG"])
    mimics = draw_mimics(extra, anatomy, lesion, kind.findings)
    contents = mixture(rng, anatomy, lesion, mimics)
    label = np.zeros(anatomy.brain.shape, np.uint8)
    label[anatomy.brain] = np.where(share > 0.5, CAVITY, BRAIN)
    label = np.where(lesion > 0, np.where(lesion == OEDEMA, OEDEMA_LABEL, TUMOUR), label)
    volumes = {}
    for name, contrast in SEQUENCES.items():
        blurred = kind.scanner._replace(blur=(APTW_BLUR, APTW_BLUR))
        scanner = blurred if contrast == "APTw" else kind.scanner
        volumes[name] = scan(rng, extra, contents, anatomy.brain, contrast, scanner)
    return {name: in_grid(array) for name, array in {**volumes, "label": label}.items()}


def _begin(
    seed: int, index: int, kind: PhantomKind
) -> tuple[np.random.Generator, np.random.Generator, Anatomy, np.ndarray]:
    """The two sources of a subject's random numbers, anatomy and share [N] of the cavity."""
    rng, extra = (np.random.default_rng((seed, index, k)) for k in (2, 3))
    anatomy = draw_anatomy(rng, kind.sites)
    share = cavity_share(extra, anatomy, kind.findings)
    return rng, extra, with_csf(anatomy, share), share


def postsurgical_tissues(seed: int, index: int, kind: PhantomKind) -> np.ndarray:
    """Tissues [155,240,240] uint8 of a subject as `tissue_map` numbers them; the cavity is CSF."""
    return in_grid(tissue_map(_begin(seed, index, kind)[2]))


def case_name(index: int) -> str:
    """The case id of subject `index`."""
    return f"phantom_{index + 1:04d}"


def write_subject(folder: Path, seed: int, kind: PhantomKind, index: int) -> None:
    """Writes the files of one subject as nnU-Net names them."""
    volumes, case = postsurgical_subject(seed, index, kind), case_name(index)
    for k, name in enumerate(SEQUENCES):
        write_volume(folder / "imagesTr" / f"{case}_{k:04d}.nii.gz", volumes[name])
    write_volume(folder / "labelsTr" / f"{case}.nii.gz", volumes["label"].astype(np.uint8))


TREE = Tree(
    "Dataset101_Postsurgical", write_subject, case_name, postsurgical_tissues, DESCRIPTION.write
)
POSTSURGICAL_DATA: DataSet = described_dataset(
    DESCRIPTION,
    "postsurgical",
    {
        POSTSURGICAL.name: Phantom(
            partial(cached_phantom, kind=POSTSURGICAL, tree=TREE),
            "built-in phantom, postsurgical (a demonstration object made from MNI152 templates, "
            "not medical data)",
            partial(write_tissue_maps, kind=POSTSURGICAL, tree=TREE),
            TERMS,
        )
    },
)

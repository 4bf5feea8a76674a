"""What is prepared or made when the disk is full: nothing half, and a sentence."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf

from data import shards
from data.brats import phantom
from data.brats.dataset import BRATS
from data.shards import prepare_shards
from data.synthetic_sets import files as synthetic_files
from data.synthetic_sets.files import read_synthetic_set
from data.volumes import read_volume, write_volume
from tests.data.synthetic_sets.test_building import CONFIG, build
from tests.data.trees import TINY, write_tree
from utils.errors import DiskFullError, UserError

VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def fill_disk(*_) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.fixture
def cutting_writer(monkeypatch):
    """Writers that lose the end of a file without an error."""

    def cutting(write):
        def cut(image, name, **options):
            write(image, name, **options)
            content = Path(name).read_bytes()
            Path(name).write_bytes(content[: len(content) // 2])

        return cut

    monkeypatch.setattr(sitk, "WriteImage", cutting(sitk.WriteImage))
    monkeypatch.setattr(nibabel, "save", cutting(nibabel.save))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha"])
def test_a_volume_that_was_cut_off_in_silence_does_not_appear(
    tmp_path, monkeypatch, cutting_writer, suffix
):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(UserError, match=f"Cannot write the volume {path}"):
        write_volume(path, VOLUME)
    with monkeypatch.context() as patch:
        # The writer's own half went through; only plain bytes tell why.
        patch.setattr(sitk, "WriteImage", lambda image, name, useCompression: None)
        patch.setattr(nibabel, "save", lambda image, name: None)
        patch.setattr(Path, "write_bytes", fill_disk)
        with pytest.raises(DiskFullError, match=f"of {tmp_path} is full: about 240 bytes"):
            write_volume(path, VOLUME)
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_a_full_disk_keeps_the_earlier_volume(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    write_volume(path, VOLUME)

    def full(image, name, **_):
        Path(name).touch()
        if suffix == ".nii.gz":
            fill_disk()
        raise RuntimeError("ITK ERROR: File cannot be written\nReason: No space left on device")

    monkeypatch.setattr(sitk, "WriteImage", full)
    monkeypatch.setattr(nibabel, "save", full)
    monkeypatch.setattr(Path, "write_bytes", fill_disk)
    with pytest.raises(DiskFullError, match=f"of {tmp_path} is full"):
        write_volume(path, VOLUME + 1)
    np.testing.assert_array_equal(read_volume(path).array, VOLUME)
    assert names(tmp_path) == [path.name]


class FullWriter:
    """A TFRecord writer for which the disk is full from the third record on."""

    def __init__(self, path: str):
        self.path, self.records = Path(path), 0

    def __enter__(self):
        self.path.touch()
        return self

    def __exit__(self, *_):
        pass

    def write(self, record: bytes) -> None:
        self.records += 1
        if self.records == 3:
            raise tf.errors.ResourceExhaustedError(
                None, None, f"{self.path}; No space left on device"
            )
        self.path.write_bytes(record)


def test_a_full_cache_keeps_other_caches_and_says_what_it_needs(tmp_path, monkeypatch):
    cases = BRATS.find(write_tree(tmp_path / "data", "flat2015", count=2), TINY)
    cache = tmp_path / "cache"
    other = prepare_shards(BRATS, cases[:1], TINY, cache, progress=False)
    before = names(cache)
    monkeypatch.setattr(tf.io, "TFRecordWriter", FullWriter)
    # 2 cases x 4 slices of 8 x 8 pixels, four intensities of 2 bytes and a label
    with pytest.raises(DiskFullError, match=f"of {cache} is full: about 4608 bytes were"):
        prepare_shards(BRATS, cases, TINY, cache, progress=False)
    assert names(cache) == before
    monkeypatch.undo()
    assert shards.PreparedSlices.open(BRATS, other.directory) == other
    both = prepare_shards(BRATS, cases, TINY, cache, progress=False)
    assert both.slices_per_subject == (4, 4)


def test_a_full_disk_leaves_whole_samples_and_the_set_goes_on(tmp_path, monkeypatch):
    whole, folder = tmp_path / "whole", tmp_path / "set"
    build(whole)
    save, calls = np.savez, []

    def full(path, **arrays):
        calls.append(path)
        if len(calls) == 2:
            Path(path).write_bytes(b"half")
            fill_disk()
        save(path, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(DiskFullError, match=f"of {folder / 'samples'} is full"):
            build(folder)
    assert names(folder / "samples") == ["synthetic_000000.json", "synthetic_000000.npz"]
    with pytest.raises(UserError, match="not a finished synthetic set"):
        next(read_synthetic_set(folder))
    (folder / "samples" / f".{'0' * 32}-synthetic_000001.npz").write_bytes(b"of a killed process")
    build(folder)
    for path in whole.rglob("*.json"):
        assert (folder / path.relative_to(whole)).read_bytes() == path.read_bytes()
    for one, other in zip(read_synthetic_set(whole), read_synthetic_set(folder)):
        np.testing.assert_array_equal(one["images"], other["images"])
    assert names(folder) == names(whole)


def test_a_sample_counts_when_its_row_is_written(tmp_path, monkeypatch):
    write = synthetic_files.as_json

    def full(row):
        if row["sample"] == 1:
            fill_disk()
        return write(row)

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_files, "as_json", full)
        with pytest.raises(DiskFullError):
            build(tmp_path)
    arrays = tmp_path / "samples" / "synthetic_000001.npz"
    arrays.write_bytes(b"not trusted without its row")
    build(tmp_path, replace(CONFIG, samples=2))
    assert len(list(read_synthetic_set(tmp_path))) == 2


def test_a_full_disk_leaves_no_part_of_a_phantom(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom, "phantom_subject", lambda seed, index, kind: {"T1": VOLUME})
    monkeypatch.setattr(phantom, "write_volume", fill_disk)
    with pytest.raises(DiskFullError, match=f"of {tmp_path} is full"):
        phantom.make_phantom(tmp_path / "made", 1, 0, progress=False, workers=1)
    assert names(tmp_path) == []

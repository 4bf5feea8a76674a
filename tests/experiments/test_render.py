"""A user's label drawn by a tiny run of the main system: place, maps, files, what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from data.brats.dataset import BRATS
from data.brats.label_slices import read_label_slice, write_slice
from data.brats.windows import cut
from data.pictures import read_picture
from data.slice_sets import stored_slices
from data.structure_maps.extraction import structure_and_outside
from data.volumes import read_volume, read_volume_and_grid, write_on_grid, write_volume
from experiments import render
from experiments.systems.structure_gan.rendering import Brain, LabelRenderer
from experiments.systems.structure_gan.synthesizing import LabelSynthesizer
from utils.errors import UserError
from utils.metrics.volumes import slice_steps
from utils.reporting.pictures import PALETTE
from utils.runs.exits import exit_code
from utils.runs.files import read_json

# Those of the tiny preset, which shrinks a crop of 192x144 by 6.
SHAPE, SLICES, ROWS, COLUMNS, SIZE = (155, 240, 240), slice(70, 90), slice(34, 226), 48, (32, 24)
MODALITIES = ("T1", "T2", "T1c", "Flair")
TURNED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def run(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["render.py", *map(str, words)])
    return exit_code(render.main, render._after_interrupt)


def scan() -> np.ndarray:
    """A skull-stripped brain: an ellipsoid with dark ventricles."""
    z, y, x = np.ogrid[tuple(map(slice, SHAPE))]
    far = ((z - 80) / 60) ** 2 + ((y - 128) / 60) ** 2 + ((x - 120) / 45) ** 2
    inner = ((y - 128) / 15) ** 2 + ((x - 120) / 12) ** 2
    return np.where(far < 1, np.where(inner < 1, 300, 700), 0).astype(np.int16)


def lesion(value: int = 4) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[60:100, 140:160, 125:145] = 2
    label[60:100, 148:156, 130:140] = value
    return label


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """Lesion and scan on a grid whose axes and place are not those of BRATS."""
    paths = {name: tmp_path / "in" / f"{name}.nii.gz" for name in ("lesion", "scan")}
    for name, array in (("lesion", lesion()), ("scan", scan())):
        write_volume(paths[name], array[:, ::-1, ::-1], origin=(7.0, -3.0, 11.5), direction=TURNED)
    return paths


@pytest.fixture(scope="module")
def renderer(tiny_run) -> LabelRenderer:
    return LabelRenderer(tiny_run)


def test_a_lesion_is_put_into_the_brain_of_a_scan(tiny_run, files, tmp_path, monkeypatch, capsys):
    words = ("--label", files["lesion"], "--anatomy", files["scan"], "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", tiny_run, *words) == 0
    said = capsys.readouterr().out
    assert "values of brats2015" in said and "Dice of the run's segmenter: T1 " in said
    assert "neighbouring slices differ by 0." in said and "held-out patients by 0." in said
    _, grid = read_volume_and_grid(files["lesion"])
    made = {}
    for name in (*MODALITIES, "label"):
        volume, found = read_volume_and_grid(tmp_path / "out" / f"lesion_synthetic_{name}.nii.gz")
        assert str(found) == str(grid), name
        made[name] = volume.array
    drawn = np.zeros(SHAPE, bool)
    drawn[SLICES, ROWS, COLUMNS : COLUMNS + 144] = True
    near = ndimage.distance_transform_edt(scan() == 0) < 24  # mm; a pixel of the maps has 6
    np.testing.assert_array_equal(made["label"], lesion() * drawn)
    for name in MODALITIES:
        assert made[name].dtype == np.int16 and made[name].min() >= 0
        assert made[name].max() <= 1000 and not made[name][~drawn].any()
        assert (made[name][drawn & (scan() > 0)] > 0).mean() > 0.85
        assert (made[name][drawn & ~near] > 0).mean() < 0.05  # corners of Algorithm 2's mask
    record = read_json(tmp_path / "out" / "lesion_synthetic.nii.gz.json")
    assert record["anatomy"] and record["map"] == "random" and "not for" in record["notice"]


def test_the_maps_of_a_scan_are_those_of_the_training(renderer, tiny_run, files):
    volume = read_volume(files["scan"])
    brain, axial = renderer.brain_of(files["scan"], volume)
    np.testing.assert_array_equal(axial, np.arange(70, 90))
    crops = cut(volume.array, axial, renderer.config.slicing) / 700
    images = crops.reshape(20, 32, 6, 24, 6).mean(axis=(2, 4), dtype=np.float32)[..., None]
    constants = renderer.config.maps.constants(BRATS)
    expected = structure_and_outside(images, None, constants)
    for found, wanted in zip(brain, expected):
        np.testing.assert_array_equal(found, wanted.numpy()[..., 0])
    assert 0 < brain.structure.mean() < 0.5 and 0.2 < 1 - brain.outside.mean() < 0.9


def test_lines_under_a_lesion_are_erased_and_its_class_is_seen(renderer):
    brain = Brain(np.ones((1, *SIZE), np.float32), np.zeros((1, *SIZE), np.float32))
    seen = {}

    def draw(batch: dict) -> dict:
        seen.update(batch)
        return {"images": np.zeros((len(batch["seed"]), *SIZE, 4), np.float32)}

    own, renderer._draw = renderer._draw, draw
    try:
        label = np.zeros((1, *SIZE), np.uint8)
        label[0, 4:8, 4:8] = 3
        renderer.images(brain, label, seed=5)
    finally:
        renderer._draw = own
    np.testing.assert_array_equal(seen["structure"][..., 0], label == 0)
    np.testing.assert_array_equal(seen["label"][..., 0], label)


def test_slices_share_their_noise_and_do_not_depend_on_the_batch(renderer):
    brain = renderer.random_stack(3, np.zeros((5, *SIZE), bool))
    twice = Brain(*(np.repeat(part[:1], 2, axis=0) for part in brain))
    label = np.zeros((5, *SIZE), np.uint8)
    first, second = renderer.images(twice, label[:2], seed=1)
    np.testing.assert_array_equal(first, second)
    assert np.abs(renderer.images(twice, label[:2], seed=2)[0] - first).max() > 0
    together = renderer.images(brain, label, 1)
    alone = renderer.images(Brain(*(part[2:3] for part in brain)), label[2:3], 1)
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)


def test_the_codes_of_a_stack_turn_by_equal_angles(renderer, monkeypatch):
    calls = []

    def maps_of(codes: np.ndarray) -> dict:
        calls.append(codes)
        return {name: np.zeros((len(codes), *SIZE)) for name in Brain._fields}

    monkeypatch.setattr(renderer, "_of_codes", maps_of)
    renderer.random_stack(3, np.zeros((5, *SIZE), bool), turn=10.0)
    middle, *upwards = [codes[0] for codes in calls[:3]]  # all pass: the first direction is taken
    downwards = [codes[0] for codes in calls[3:]]
    assert len(upwards) == len(downwards) == 2
    for walk in ([middle, *upwards], [middle, *downwards]):
        norms = np.linalg.norm(walk, axis=1)
        cosines = [a @ b for a, b in zip(walk[1:], walk)] / norms[1:] / norms[:-1]
        # Two random codes are nearly orthogonal.
        np.testing.assert_allclose(np.degrees(np.arccos(cosines)), 10, rtol=0.15)
        np.testing.assert_allclose(norms, np.sqrt(len(middle)), rtol=0.15)


def test_of_the_directions_one_is_taken_that_holds_the_lesion(renderer, monkeypatch):
    disc = np.hypot(*(np.indices(SIZE) - np.reshape((16, 12), (2, 1, 1)))) < 8
    lesion = np.zeros((3, *SIZE), bool)
    lesion[1, 20:22, 12] = True

    def maps_of(codes: np.ndarray) -> dict:
        outside = np.repeat(~disc[None], len(codes), axis=0).astype(np.float32)
        outside[0, 21, 12] = 1  # the first does not hold all of the lesion
        outside[1, :2, :2] = 0  # the second has a further piece
        inner = ndimage.binary_erosion(disc)  # lines are blurred before they are filled
        structure = np.stack([inner & ~ndimage.binary_erosion(inner)] * len(codes))
        structure[2] = 0  # the third has no closed contour
        return {"structure": structure.astype(np.float32), "outside": outside, "codes": codes}

    monkeypatch.setattr(renderer, "_of_codes", maps_of)
    brain = renderer.random_stack(0, lesion)
    assert not (lesion & (brain.outside > 0)).any()
    assert renderer._flaws(Brain(brain.structure[1], brain.outside[1]), lesion[1]) == (0, False, 0)
    monkeypatch.setattr(renderer, "_flaws", lambda maps, lesion: (0, False, 0.0))
    taken = renderer.random_stack(0, lesion)  # all pass: the first
    assert taken.outside[1, 21, 12] == 1


def test_a_smaller_turn_makes_neighbours_more_alike(renderer):
    def step(turn: float) -> float:
        lines = renderer.random_stack(0, np.zeros((8, *SIZE), bool), turn).structure
        return slice_steps(lines, np.full(lines.shape, True))[0]

    assert step(0.0) == 0 < step(2.0) < step(60.0)


def test_the_random_brain_is_the_one_that_the_lesion_fits(tiny_run, tmp_path, monkeypatch):
    synthesizer = LabelSynthesizer(tiny_run)
    outside = np.ones((1, *SIZE), np.float32)
    outside[0, 16:] = 0
    brains = {
        seed: Brain(np.zeros((1, *SIZE)), np.roll(outside, seed, axis=1)) for seed in range(20)
    }
    monkeypatch.setattr(synthesizer.renderer, "random_brain", brains.__getitem__)
    label = np.zeros(SIZE, np.uint8)
    label[12:14, 4:8] = 1  # outside of brains 0 to 11, whole in some of those behind
    np.savez(tmp_path / "a.npz", label=label)
    source = synthesizer.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(source.label[0][label > 0], 2)
    assert source.brain is brains[source.seed] and not source.brain.outside[0][label > 0].any()
    only = LabelSynthesizer(tiny_run, "0")
    monkeypatch.setattr(only.renderer, "random_brain", brains.__getitem__)
    with pytest.raises(UserError, match="100.0% of the lesion of .* random brain 0; move"):
        only.read(tmp_path / "a.npz")


def test_a_lesion_outside_is_refused_or_clipped(tiny_run, files, tmp_path, monkeypatch, capsys):
    label = lesion()
    label[60:100, 36:60, 60:70] = 1  # beside the brain
    _, grid = read_volume_and_grid(files["lesion"])
    write_on_grid(files["lesion"], label, grid)
    words = ("--label", files["lesion"], "--anatomy", files["scan"], "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", tiny_run, *words) == 2
    told = capsys.readouterr().err
    # Of 6 mm wide pixels that are at least half lesion.
    blocks = label[80, ROWS, COLUMNS : COLUMNS + 144].reshape(32, 6, 24, 6)
    shown = [(np.isin(blocks, values).mean(axis=(1, 3)) > 0.5).sum() for values in (1, (1, 2, 4))]
    assert f"{shown[0] / shown[1]:.1%} of the lesion of" in told and "with --clip" in told
    assert not list((tmp_path / "out").glob("*"))
    assert run(monkeypatch, "--run", tiny_run, *words, "--clip") == 0
    found = read_volume(tmp_path / "out" / "lesion_synthetic_label.nii.gz").array
    np.testing.assert_array_equal(found[SLICES], lesion()[SLICES])
    label[label == 2] = label[label == 4] = 0
    write_on_grid(files["lesion"], label, grid)
    assert run(monkeypatch, "--run", tiny_run, *words, "--clip", "--overwrite") == 2
    assert "All of the lesion of" in capsys.readouterr().err


def test_labels_keep_the_numbers_of_their_release(tiny_run, files, tmp_path, monkeypatch):
    _, grid = read_volume_and_grid(files["lesion"])
    write_on_grid(files["lesion"], lesion(3), grid)  # brats2023: 3 is enhancing
    words = ("--label", files["lesion"], "--anatomy", files["scan"], "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", tiny_run, *words, "--label_scheme", "brats2023") == 0
    found = read_volume(tmp_path / "out" / "lesion_synthetic_label.nii.gz").array
    np.testing.assert_array_equal(found[SLICES], lesion(3)[SLICES])
    source = LabelSynthesizer(tiny_run).read(files["lesion"], files["scan"], "brats2023")
    assert source.label.max() == 5  # the enhancing part of BRATS 2015, and the brain before it


@pytest.mark.parametrize("kind", ["palette", "grey", "colours"])
def test_a_slice_comes_as_picture(kind, tiny_run, tmp_path, monkeypatch):
    label = np.zeros(SIZE, np.uint8)
    label[14:18, 10:14] = 2
    label[15:17, 11:13] = 4
    file = tmp_path / "lesion.png"
    if kind == "palette":
        write_slice(file, label)
        with Image.open(file) as picture:
            assert picture.mode == "P"
    else:
        picture = label if kind == "grey" else np.array(PALETTE, np.uint8)[label]
        Image.fromarray(picture).save(file)
    np.testing.assert_array_equal(read_label_slice(file), label)
    if kind == "palette":
        with Image.open(file) as picture:  # as an editor may save it
            picture.remap_palette([4, 2, 0, 1, 3]).save(tmp_path / "sorted.png")
        np.testing.assert_array_equal(read_label_slice(tmp_path / "sorted.png"), label)
        Image.fromarray(label).convert("P").save(tmp_path / "numbers.png")  # greys of its own
        np.testing.assert_array_equal(read_label_slice(tmp_path / "numbers.png"), label)
    words = ("--label", file, "--out", tmp_path / "out", "--clip")
    assert run(monkeypatch, "--run", tiny_run, *words) == 0
    out = tmp_path / "out"
    shown = read_label_slice(out / "lesion_synthetic_label.png")
    assert set(np.unique(shown)) <= {0, 2, 4} and (shown == label)[shown > 0].all()
    pictures = [read_picture(out / f"lesion_synthetic_{m}.png") for m in MODALITIES]
    assert all(p.shape == SIZE and p.dtype == np.uint8 and p.max() > p.min() for p in pictures)


def test_a_sample_of_the_set_is_drawn_again_in_its_own_brain(tiny_run, tmp_path, monkeypatch):
    sample = sorted((tiny_run / "synthetic" / "samples").rglob("*.npz"))[0]
    words = ("--label", sample, "--anatomy", sample, "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", tiny_run, *words) == 0
    with (
        np.load(sample) as own,
        np.load(tmp_path / "out" / f"{sample.stem}_synthetic_slice.npz") as made,
    ):
        for name in ("label", "structure", "outside"):
            np.testing.assert_array_equal(made[name], own[name])
        assert made["images"].shape == own["images"].shape == (*SIZE, 4)
        # The noise inside of the brain differs, the brain does not.
        assert np.abs(made["images"] - own["images"]).mean() < 0.1
    assert len(stored_slices(tiny_run / "synthetic")) == 8  # nothing was added to the run


def test_slices_have_the_numbers_of_2015_whatever_the_runs_are(tiny_run, tmp_path):
    synthesizer = LabelSynthesizer(tiny_run, clip=True)
    synthesizer._slicing = replace(synthesizer._slicing, label_scheme="brats2023")
    label = np.zeros(SIZE, np.uint8)
    label[14:18, 10:14], label[15:17, 11:13] = 3, 4
    np.savez(tmp_path / "a.npz", label=label)
    source = synthesizer.read(tmp_path / "a.npz")
    assert set(np.unique(source.label)) <= {0, 1, 4, 5} and source.values == (0, 1, 2, 3, 4)


def test_what_lies_beyond_the_drawn_slices_is_told(tiny_run, files, capsys):
    LabelSynthesizer(tiny_run).read(files["lesion"], files["scan"])
    assert "50.0% of the lesion lie beyond the slices" in capsys.readouterr().out


def test_maps_of_other_values_are_refused(tiny_run, tmp_path):
    maps = {"structure": np.full(SIZE, 7.5), "outside": np.zeros(SIZE)}
    np.savez(tmp_path / "a.npz", label=np.zeros(SIZE, np.uint8), **maps)
    with pytest.raises(UserError, match="must hold 0 and 1 alone"):
        LabelSynthesizer(tiny_run).read(tmp_path / "a.npz", tmp_path / "a.npz")


def test_an_empty_label_gives_healthy_slices(tiny_run, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "empty.npz", label=np.zeros(SIZE, np.uint8))
    words = ("--label", tmp_path / "empty.npz", "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", tiny_run, *words) == 0
    assert "no lesion is shown" in capsys.readouterr().out


def test_labels_of_other_sizes(tiny_run, tmp_path):
    synthesizer, label = LabelSynthesizer(tiny_run, clip=True), np.zeros(SIZE, np.uint8)
    label[14:18, 10:14] = 4
    crop = label.repeat(6, axis=0).repeat(6, axis=1)
    frame = np.zeros((240, 240), np.uint8)
    frame[ROWS, COLUMNS : COLUMNS + 144] = crop
    shown = []
    for number, array in enumerate((label, crop, frame)):
        np.savez(tmp_path / f"{number}.npz", label=array)
        shown.append(synthesizer.read(tmp_path / f"{number}.npz").label)
    np.testing.assert_array_equal(shown[0], shown[1])
    np.testing.assert_array_equal(shown[0], shown[2])
    np.savez(tmp_path / "page.npz", label=label[None])  # a download of the page
    np.testing.assert_array_equal(synthesizer.read(tmp_path / "page.npz").label, shown[0])
    np.savez(tmp_path / "x.npz", label=np.zeros((30, 30), np.uint8))
    with pytest.raises(UserError, match="must have 32x24 or 192x144 or 240x240 pixels .* 30x30"):
        synthesizer.read(tmp_path / "x.npz")


def test_a_changed_lesion_moves_in_its_brain(tiny_run, files, tmp_path, monkeypatch):
    words = ("--label", files["lesion"], "--anatomy", files["scan"], "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", tiny_run, *words, "--manipulate", "move:-10:0") == 0
    found = read_volume(tmp_path / "out" / "lesion_synthetic_label.nii.gz").array
    expected = np.roll(lesion(), -10, axis=1)
    np.testing.assert_array_equal(found[SLICES], expected[SLICES])


def test_outputs_open_in_nibabel(tiny_run, files, tmp_path, monkeypatch):
    words = ("--label", files["lesion"], "--anatomy", files["scan"], "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", tiny_run, *words) == 0
    own, made = nib.load(files["lesion"]), nib.load(tmp_path / "out" / "lesion_synthetic_T1.nii.gz")
    np.testing.assert_allclose(own.affine, made.affine)
    assert own.shape == made.shape


def test_what_is_refused(tiny_run, samr_run, files, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "no.npz", images=np.zeros(3))
    np.savez(tmp_path / "nine.npz", label=np.full(SIZE, 9))
    Image.new("RGB", SIZE[::-1], (1, 2, 3)).save(tmp_path / "odd.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    write_volume(tmp_path / "small.nii.gz", np.zeros((50, 60, 60), np.uint8))
    (tmp_path / "empty").mkdir()
    label = ("--label", files["lesion"])
    for words, message in (
        (("--label", tmp_path / "no.npz"), "must hold an array 'label', found images"),
        (("--label", tmp_path / "nine.npz"), "holds the values 9 where brats2015 allows only"),
        (("--label", tmp_path / "odd.png"), "has the colour (1, 2, 3), which is none of a class"),
        (("--label", tmp_path / "broken.png"), "is no readable picture"),
        (("--label", tmp_path / "small.nii.gz"), "small.nii.gz has 60 rows"),
        (("--label", tmp_path / "gone.png"), "must be a label or a folder of them"),
        ((*label, "--map", "first"), "--map is 'first'; give random, or a number"),
        ((*label, "--map", 3, "--anatomy", files["scan"]), "--anatomy and --map exclude"),
        ((*label, "--turn", "100"), "--turn is 100.0; give degrees from 0 to 90"),
        ((*label, "--anatomy", tmp_path / "gone"), "--anatomy"),
        ((*label, "--anatomy", tmp_path / "nine.npz"), "is of another kind than"),
        ((*label, "--anatomy", tmp_path / "small.nii.gz"), "must share one grid"),
        ((*label, "--anatomy", tmp_path / "empty"), "No BRATS case was found"),
        ((*label, "--label_scheme", "brats1999"), "Unknown"),
    ):
        words = ("--run", tiny_run, *words, "--out", tmp_path / "out")
        assert run(monkeypatch, *words) == 2, words
        assert message in capsys.readouterr().err
    words = ("--run", samr_run, *label, "--out", tmp_path / "out", "--map", "3")
    assert run(monkeypatch, *words) == 2
    assert "--map is for runs of experiments/train_brats.py" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

"""Archives of networks: what is in them, that they draw as the run does, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from data.brats.slices import output_size
from experiments import generate, publish_weights, render
from experiments.engine import published
from experiments.engine.published import MANIFEST, run_folder
from experiments.systems.samr.synthesizing import Source, Synthesizer
from experiments.systems.structure_gan.painting import painter_of
from experiments.systems.structure_gan.rendering import LabelRenderer
from experiments.systems.tc_mgan.translating import Translator
from tests.experiments.test_render import SIZE
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json


def publish(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["publish_weights.py", *map(str, words)])
    return exit_code(publish_weights.main, publish_weights._after_interrupt)


@pytest.fixture(scope="module")
def archive(tiny_run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.zip"
    with pytest.MonkeyPatch.context() as patch:
        assert publish(patch, "--run", tiny_run, "--out", path) == 0
    return path


def changed(archive: Path, to: Path, **files: bytes | None) -> Path:
    """A copy in which files have another content, or are left out."""
    with ZipFile(archive) as old, ZipFile(to, "w", ZIP_DEFLATED) as new:
        contents = {name: old.read(name) for name in old.namelist()}
        for name, content in {**contents, **files}.items():
            if content is not None:
                new.writestr(name, content)
    return to


def test_an_archive_draws_as_its_run(tiny_run, archive, tmp_path):
    folder = run_folder(archive, tmp_path)
    assert run_folder(archive, tmp_path) == folder  # it is there already
    own, other = LabelRenderer(tiny_run), LabelRenderer(folder)
    label = np.zeros((1, *SIZE), np.uint8)
    label[0, 14:18, 10:14] = 4
    for seed in range(3):
        brain, again = own.random_brain(seed), other.random_brain(seed)
        assert (brain.outside != again.outside).mean() < 0.1  # rounding moves few pixels
        images = [one.images(brain, label, 0) for one in (own, other)]
        np.testing.assert_allclose(*images, atol=5e-3)
    assert other.real_step == own.real_step


def test_the_same_run_gives_the_same_bytes(tiny_run, archive, tmp_path, monkeypatch, capsys):
    assert publish(monkeypatch, "--run", tiny_run, "--out", tmp_path / "b.zip") == 0
    assert (tmp_path / "b.zip").read_bytes() == archive.read_bytes()
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in capsys.readouterr().out


def test_nothing_of_the_data_is_in_it(tiny_run, archive, tmp_path):
    names = [name for ids in read_json(tiny_run / "splits.json").values() for name in ids]
    with ZipFile(archive) as files:
        everything = b"".join(files.read(name) for name in files.namelist())
        stages = {name.partition("/")[2] for name in files.namelist() if "/" in name}
        assert len(files.read("weights/registration.npz")) < 100_000  # no network of it
    assert stages == {f"{name}.npz" for name in publish_weights.PARTS["experiments/train_brats.py"]}
    assert names and not any(str(name).encode() in everything for name in names)
    assert (
        str(tiny_run).encode() not in everything
        and b"optimizers/" not in everything.replace(b"networks", b"").split(b"_CHECKPOINTABLE")[0]
    )
    folder = run_folder(archive, tmp_path)
    assert "Learned from" in (folder / "datasheet.md").read_text(encoding="utf-8")
    assert "nobody's data" in (folder / "datasheet.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("spoil", ["weights", "manifest", "hash", "missing", "more", "cut", "text"])
def test_what_was_changed_is_refused(spoil, archive, tmp_path):
    bad = tmp_path / "bad.zip"
    with ZipFile(archive) as files:
        manifest = json.loads(files.read(MANIFEST))
    if spoil == "weights":
        with ZipFile(archive) as files:
            content = bytearray(files.read("weights/synthesis.npz"))
        content[len(content) // 2] ^= 1
        changed(archive, bad, **{"weights/synthesis.npz": bytes(content)})
    elif spoil == "manifest":
        changed(archive, bad, **{MANIFEST: json.dumps({**manifest, "format": 9}).encode()})
    elif spoil == "hash":
        manifest["files"]["config.json"] = "0" * 64
        changed(archive, bad, **{MANIFEST: json.dumps(manifest).encode()})
    elif spoil == "missing":
        changed(archive, bad, **{"metrics.json": None})
    elif spoil == "more":
        changed(archive, bad, **{"../../outside.txt": b"x"})
    elif spoil == "cut":
        bad.write_bytes(archive.read_bytes()[:-1000])
    else:
        bad.write_text("no archive", encoding="utf-8")
    with pytest.raises(UserError, match="bad.zip is no archive of networks, or was changed"):
        run_folder(bad, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.*")) and not (tmp_path / "outside.txt").exists()


def test_a_place_outside_is_refused_even_if_the_manifest_names_it(archive, tmp_path):
    content = b"x"
    with ZipFile(archive) as files:
        manifest = json.loads(files.read(MANIFEST))
    manifest["files"]["../../outside.txt"] = hashlib.sha256(content).hexdigest()
    words = {MANIFEST: json.dumps(manifest).encode(), "../../outside.txt": content}
    bad = changed(archive, tmp_path / "bad.zip", **words)
    with pytest.raises(UserError, match="is not what its manifest says"):
        run_folder(bad, tmp_path / "cache")
    assert not list(tmp_path.rglob("outside.txt"))


@pytest.mark.parametrize(
    "change",
    [
        {"stages": {"..": {"step": 1, "networks": []}}},
        {"stages": {"gan": {"step": True, "networks": []}}},
        {"stages": {"gan": {"step": 1, "networks": "G"}}},
        {"stages": {"gan": {"step": 1}}},
        {"files": {"checkpoints": ""}},
        {"files": {"..": ""}},
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(change, archive, tmp_path):
    with ZipFile(archive) as files:
        manifest = json.loads(files.read(MANIFEST))
    files = (
        {"weights/gan.npz": b"x"} if "stages" in change else dict.fromkeys(change["files"], b"x")
    )
    manifest["files"].update({k: hashlib.sha256(v).hexdigest() for k, v in files.items()})
    manifest["stages"].update(change.get("stages", {}))
    if ".." in change.get("stages", {}):
        files = {"weights/...npz": b"x"}
        manifest["files"]["weights/...npz"] = hashlib.sha256(b"x").hexdigest()
        del manifest["files"]["weights/gan.npz"]
    words = {MANIFEST: json.dumps(manifest).encode(), **files}
    bad = changed(archive, tmp_path / "bad.zip", **words)
    with pytest.raises(UserError, match="is no archive of networks, or was changed"):
        run_folder(bad, tmp_path / "cache")


def test_shipped_networks_are_those_that_were_checked(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(published, "SHIPPED", archive)
    with pytest.raises(UserError, match="must have the SHA-256 .* put back the repository's file"):
        run_folder(Path("phantom"), tmp_path / "cache")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(published, "SHIPPED_SHA256", digest)
    assert (run_folder(Path("phantom"), tmp_path / "cache") / "config.json").exists()
    (tmp_path / "phantom").mkdir()  # somebody's own run of this name
    assert run_folder(Path("phantom"), tmp_path / "cache") == Path("phantom")


def test_scripts_take_an_archive(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    np.savez(tmp_path / "label.npz", label=np.zeros(SIZE, np.uint8))
    words = ("--run", archive, "--label", tmp_path / "label.npz", "--out", tmp_path / "out")
    monkeypatch.setattr(sys, "argv", ["render.py", *map(str, words)])
    assert exit_code(render.main, render._after_interrupt) == 0
    assert (tmp_path / "out" / "label_synthetic_slice.npz").exists()
    assert painter_of(run_folder(archive)).phantom
    words = ("--run", archive, "--out", tmp_path / "set", "--samples", "3")
    monkeypatch.setattr(sys, "argv", ["generate.py", *map(str, words)])
    assert exit_code(generate.main, generate._after_interrupt) == 0
    assert "the set is finished" in capsys.readouterr().out


def test_samr_draws_from_an_archive(samr_run, tmp_path, monkeypatch):
    assert publish(monkeypatch, "--run", samr_run, "--out", tmp_path / "samr.zip") == 0
    folder = run_folder(tmp_path / "samr.zip", tmp_path / "cache")
    label = np.zeros((155, 240, 240), np.uint8)
    label[60:100, 70:190, 50:160] = 1
    label[60:100, 90:120, 90:120] = 2
    source = Source(Path(), label, None)
    own, other = (Synthesizer(path).make(source, None) for path in (samr_run, folder))
    for name in ("T1", "Flair"):
        apart = np.abs(own.volumes[name].astype(int) - other.volumes[name])
        assert own.volumes[name].any() and apart.max() <= 10  # of 1000


def test_tc_mgan_translates_from_an_archive(tiny_variants, tmp_path, monkeypatch):
    run = tiny_variants / "variants" / "tc_mgan"
    assert publish(monkeypatch, "--run", run, "--out", tmp_path / "tc.zip") == 0
    folder = run_folder(tmp_path / "tc.zip", tmp_path / "cache")
    size = output_size(Translator(run).slicing)
    slices = np.zeros((2, *size), np.float32) + np.linspace(0, 1, size[1], dtype=np.float32)
    own, other = (Translator(path)._translate(slices).numpy() for path in (run, folder))
    assert own.std() > 0
    np.testing.assert_allclose(own, other, atol=0.01)


def test_networks_of_patients_need_an_audit(tiny_run, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    data = tmp_path / "data"
    data.mkdir()
    saved = read_json(run / "config.json")
    write_json(run / "config.json", {**saved, "data": str(data)})

    class Opened:
        """A finished run on somebody's data, which is not needed here."""

        path = run
        request = type("Request", (), {"data": data})
        experiment = publish_weights.TRAIN_BRATS

        def fingerprint(self) -> str:
            return "own"

    with pytest.raises(UserError, match="learned from patients; make python .*audit_privacy.py"):
        publish_weights.audited(Opened(), None)
    audit = tmp_path / "audit"
    audit.mkdir()
    start = {**saved, "run": str(run), "fingerprint": "other"}
    write_json(audit / "config.json", start)
    write_json(audit / "metrics.json", {"privacy/quarantined": 0})
    with pytest.raises(UserError, match="is no finished audit of the run"):
        publish_weights.audited(Opened(), audit)
    write_json(audit / "config.json", {**start, "fingerprint": "own"})
    write_json(audit / "metrics.json", {"privacy/quarantined": 2})
    with pytest.raises(UserError, match="found 2 samples that are nearly copies"):
        publish_weights.audited(Opened(), audit)
    write_json(audit / "metrics.json", {})
    with pytest.raises(UserError, match="is no finished audit of the run"):
        publish_weights.audited(Opened(), audit)
    assert publish(monkeypatch, "--run", tiny_run, "--out", tmp_path / "x.bin") == 2
    assert "must end in .zip" in capsys.readouterr().err
    (tmp_path / "x.zip").write_bytes(b"mine")
    assert publish(monkeypatch, "--run", tiny_run, "--out", tmp_path / "x.zip") == 2
    assert "exists; add --overwrite" in capsys.readouterr().err
    assert (tmp_path / "x.zip").read_bytes() == b"mine"

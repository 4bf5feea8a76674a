"""Tiny runs of the classic GANs: what they leave, a stop in a fade, lengths, what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from data.contract import IMAGE
from experiments.configs.baselines import presets
from experiments.engine.cli import main
from experiments.systems.baselines import rivals
from experiments.systems.baselines.classic import (
    DATA,
    build_latent_gan,
    check_precision,
    chosen_experiment,
)
from models.baselines.latent_config import LATENT_GANS, PGGANConfig
from tests.experiments.conftest import state_of
from utils.errors import UserError
from utils.runs.files import read_json
from utils.training.trainer import Schedule


def train(*words: object) -> int:
    return main(chosen_experiment, [str(word) for word in words])


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, dataset",
    [
        ("dcgan", "lung_ct"),
        ("acgan", "chest_xray"),
        ("acgan", "brats"),
        ("wgan", "retina"),
        ("wgan_gp", "tianchi_ct"),
        ("pggan", "brats"),
    ],
)
def test_a_run_compares_its_images_with_held_out_ones(tmp_path, model, dataset):
    assert train("--model", model, "--dataset", dataset, "--preset", "tiny", "--out", tmp_path) == 0
    metrics, data = read_json(tmp_path / "metrics.json"), DATA[dataset]
    for kind in ("real", "synthetic"):
        assert np.isfinite(metrics[f"{kind}/frechet_texture"])
    images = np.load(tmp_path / "sets" / "gan.npz")["images"]
    size = data.size(presets(model, dataset)["tiny"].slicing)
    assert images.shape == (8, *size, len(data.channels)) and len(np.unique(images[:, 5, 5])) > 1
    page = (tmp_path / "report.html").read_text("utf-8")
    assert model in page and "not medical data" in page
    assert (tmp_path / "samples" / "gan_samples_0000020.png").exists()


@pytest.mark.slow
def test_a_stop_in_the_middle_of_a_fade_does_not_show(tmp_path):
    """Of 8 images each: 4x4 pixels alone, 8x8 fading in, and so on; four in an update."""
    words = ("--model", "pggan", "--preset", "tiny", "--stages", "gan")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train(*words, "--out", whole) == 0
    assert train(*words, "--schedule.steps", 3, "--out", stopped) == 0
    state = state_of(stopped, "gan")
    (shown,) = [value for key, value in state.items() if "shown" in key]
    assert shown == 12  # half of the fade of 8x8 pixels
    words = ("--resume", "--allow-config-change", "--schedule.steps", 20, "--out", stopped)
    assert train(*words, "--stages", "gan") == 0
    np.testing.assert_equal(*(state_of(run, "gan") for run in (whole, stopped)))


@pytest.mark.parametrize("dataset", DATA)
def test_every_model_has_presets_on_every_data_set(dataset):
    data = DATA[dataset]
    for model in LATENT_GANS:
        tiny = presets(model, dataset)["tiny"]
        system = build_latent_gan(model, tiny.gan, data, data.size(tiny.slicing))
        assert set(system.groups) == {"G", "D"}
        if model == "acgan":
            modalities = 0 if data.one_image else len(data.channels)
            labels = data.num_classes if data.has_label and data.label_kind == IMAGE else 1
            assert system.classes == (modalities or labels)


def test_a_run_is_resumed_as_what_it_is(tmp_path, capsys):
    words = ("--model", "wgan", "--dataset", "retina", "--preset", "tiny", "--dry-run")
    assert train(*words, "--out", tmp_path / "a") == 0
    printed = capsys.readouterr().out
    assert "model: wgan" in printed and "clip: 0.01" in printed and "dataset: retina" in printed
    for words in (("--model", "vae"), ("--dataset", "knees")):
        with pytest.raises(SystemExit):
            train(*words)
        assert words[1] in capsys.readouterr().err
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("{")
    assert train("--out", tmp_path / "c", "--resume") == 2
    assert "config.json" in capsys.readouterr().err
    file = tmp_path / "settings.yaml"
    file.write_text("model: pggan\n")
    assert train("--preset", "tiny", "--config", file, "--out", tmp_path / "b") == 2
    assert "give --model pggan on the command line" in capsys.readouterr().err


def test_published_lengths_are_each_methods_own():
    found = {model: presets(model, "brats")["thesis"].schedule for model in LATENT_GANS}
    lengths = {model: (s.steps, s.epochs, s.batch_size) for model, s in found.items()}
    assert lengths["dcgan"] == (0, 25, 128) and lengths["wgan"] == (0, 25, 64)
    assert lengths["acgan"][::2] == (50_000, 100)
    assert lengths["wgan_gp"][::2] == (1_000_000, 64)  # five of the critic for each of G
    # Of images of 128 pixels: six sizes of 600,000, and five fades.
    gan = presets("pggan", "brats")["thesis"].gan
    assert gan.updates(128) == 3 * 600_000 // 128 + 2 * 600_000 // 128 + (
        2 * 600_000 // 64 + 2 * 600_000 // 32 + 2 * 600_000 // 16
    )


@pytest.mark.parametrize("model", LATENT_GANS)
def test_updates_in_turns_have_no_scaled_losses(model):
    check_precision([model], "mixed_bfloat16")
    if not model.startswith("wgan"):
        check_precision([model], "mixed_float16")
        return
    with pytest.raises(UserError, match=f"mixed_float16, in which {model} cannot leave updates"):
        check_precision(["dcgan", model], "mixed_float16")


@pytest.mark.parametrize("steps, told", [(13, True), (14, False)])
def test_a_pggan_that_stays_small_is_told(steps, told, tmp_path, capsys):
    """Of 8 images at each of four sizes and three fades, in batches of four."""
    words = ("--model", "pggan", "--preset", "tiny", "--dry-run", "--out", tmp_path)
    assert train(*words, "--schedule.steps", steps) == 0
    warning = f"pggan: {steps} updates do not grow it to 32 pixels, which takes 14;"
    assert (warning in capsys.readouterr().out) == told


def test_pggans_phases_share_what_the_generator_was_shown(monkeypatch):
    monkeypatch.setattr(rivals, "same_length", lambda *_: Schedule(steps=90, batch_size=4))
    gan = PGGANConfig(size=8, batch_sizes=(0,))
    config = SimpleNamespace(steps=0, budget="images", pggan=gan, batch_sizes=(1, 2, 3, 4, 6))
    run = SimpleNamespace(source=None, config=config)
    found = rivals._equal_phases(run, gan)
    assert found.phases == (120, 120)  # 4x4, the fade, 8x8
    lengths = {name: rivals._classic_schedule(run, name) for name in LATENT_GANS}
    assert {name: s.steps for name, s in lengths.items()} == {
        "dcgan": 360,
        "acgan": 180,
        "wgan": 120,
        "wgan_gp": 90,
        "pggan": 60,
    }
    assert lengths["pggan"].batch_size == 6

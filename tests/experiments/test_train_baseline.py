"""Tiny runs of the classic GANs on the phantoms: what they leave, and a stop in a fade."""

from __future__ import annotations

import numpy as np
import pytest

from data.contract import IMAGE
from experiments.configs.baselines import presets
from experiments.engine.cli import main
from experiments.systems.baselines.classic import DATA, build_latent_gan, chosen_experiment
from models.baselines.latent_config import LATENT_GANS
from tests.experiments.conftest import state_of
from utils.runs.files import read_json


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

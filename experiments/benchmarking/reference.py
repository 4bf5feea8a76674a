"""The reference implementation of each system's step: a network call per map, image, translation.

The original graph is written like this (original code, 2.1-2.4). Its instance norms, activations,
up-samplings and joined skips are single operations, whose gradients TensorFlow derives. SAMR's
generator makes its images anew for each network that learns from them. Registration, pretraining,
synthesis and SAMR share these calls, and all systems have faster operations
(`experiments.benchmarking.single_operations`): the same numbers in less time. Tests compare the
numbers, the benchmark compares the time.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Callable

import tensorflow as tf

from experiments.benchmarking.single_operations import single_operations
from losses.adversarial import FAKE, REAL, least_squares
from losses.reconstruction import (
    ERRORS,
    masked_energy,
    masked_squared_error,
    mean_absolute_error,
    mean_squared_error,
)
from models.lesions import Segmentation, lesion_terms
from models.networks.adversarial import AdversarialWeights
from models.networks.discriminator import Discriminator
from models.networks.modalities import NUM_MODALITIES
from models.samr.gan import SAMR
from models.samr.segmenter import LabelNet
from models.structure_gan.config import RegistrationConfig, SynthesisConfig
from models.structure_gan.guidance import LesionGuide, RegistrationGuide
from models.structure_gan.registration import Registration
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis, generator_input
from models.system import Batch, GANSystem, Terms

M = NUM_MODALITIES
Groups = dict[str, Terms]  # by loss group, "G" and "D"


def reference_step(system: GANSystem, batch: Batch) -> Terms:
    """Makes the update of `system.train_step`; returns losses and norms of the gradients."""
    with single_operations():
        with tf.GradientTape(persistent=True) as tape:
            groups = reference_terms(system, batch)
            losses = {group: tf.add_n(list(terms.values())) for group, terms in groups.items()}
        return system.descend(tape, losses)


def reference_terms(system: GANSystem, batch: Batch) -> Groups:
    """Returns the terms of `system.train_step`."""
    with single_operations():
        return REFERENCE_TERMS[type(system)](system, batch)


def guide(system: Synthesis, kind: type) -> Any:
    """Returns the system's guide of a kind."""
    return next(one for one in system.guides if isinstance(one, kind))


def to_each_modality(network: tf.keras.Model, x: tf.Tensor) -> list[tf.Tensor]:
    """Returns the four images [B,H,W,1], each from a whole call of a conditional U-Net on x."""
    return [network(x, _code(x, i)) for i in range(M)]


def reference_translation_terms(
    system: Registration, images: tf.Tensor, config: RegistrationConfig
) -> Groups:
    """Returns the terms of `Registration.train_step` on images [B,H,W,4], weights of `config`."""
    G_t, D_t = system.networks["G_t"], system.networks.get("D_t")
    x, w = tf.split(images, M, axis=-1), config.adversarial
    g, d, error = defaultdict(float), defaultdict(float), ERRORS[config.error]
    for i in range(M):
        if D_t:
            _judge_real(d, D_t, x[i], i, w)
        cycles = []
        for j in _others(i):
            translated = _translated(G_t, x[i], i, j)
            if D_t:
                _judge_fake(g, d, D_t, translated, j, w)
            if config.cycle or config.consistency:
                cycles.append(_translated(G_t, translated, j, i))
                g["G/cycle"] += config.cycle * mean_squared_error(x[i], cycles[-1])
            if config.supervised:
                g["G/supervised"] += config.supervised * error(translated, x[j])
        if cycles:
            g["G/consistency"] += config.consistency * _differences(cycles)
    return {"G": g, "D": d} if D_t else {"G": g}


def reference_synthesis_terms(
    system: Synthesis, x_g: Sequence[tf.Tensor], batch: Batch, config: SynthesisConfig
) -> Groups:
    """Returns the terms of D and of G_t in `Synthesis.train_step`, with the weights of `config`.

    Args:
        system: whose networks are called.
        x_g: the four generated images [B,H,W,1].
        batch: with `unpaired_images` [B,H,W,4].
        config: the weights of G_t's terms must not be 0.
    """
    D, G_t = system.networks["D"], guide(system, RegistrationGuide).translator.networks["G_t"]
    groups = reference_versus(D, batch["unpaired_images"], x_g, config.adversarial)
    g = groups["G"]
    for i in range(M):
        translated = [_translated(G_t, x_g[j], j, i) for j in _others(i)]
        for image in translated:
            g["G/registration"] += config.registration * mean_squared_error(x_g[i], image)
        g["G/consistency"] += config.consistency * _differences(translated)
    return groups


def reference_versus(
    D: Discriminator, images: tf.Tensor, x_g: Sequence[tf.Tensor], weights: AdversarialWeights
) -> Groups:
    """Returns the terms of D and G on real images [B,H,W,4] and four generated ones [B,H,W,1]."""
    g, d = defaultdict(float), defaultdict(float)
    for i, (real, fake) in enumerate(zip(tf.split(images, M, axis=-1), x_g)):
        _judge_real(d, D, real, i, weights)
        _judge_fake(g, d, D, fake, i, weights)
    return {"G": g, "D": d}


def reference_reconstruction_terms(
    x_g: Sequence[tf.Tensor],
    batch: Batch,
    inside: float,
    outside: float,
    error: Callable = mean_squared_error,
) -> Terms:
    """Returns eq. 18's two terms of the four rebuilt images [B,H,W,1], with the two weights."""
    pairs = list(zip(x_g, tf.split(batch["images"], M, axis=-1)))
    m = batch["outside"]
    return {
        "G/reconstruction": sum(inside * error(a, b) for a, b in pairs),
        "G/reconstruction_outside": sum(outside * masked_squared_error(a, b, m) for a, b in pairs),
    }


def _structure(system: StructureGAN, batch: Batch) -> Groups:
    """The step's own calls: it stacks none."""
    return system.terms(batch, system.outputs(batch))


def _segmentation(system: Segmentation, batch: Batch) -> Groups:
    """The step's own calls: it stacks none."""
    weights = system.config.class_weights
    return {"G": lesion_terms(system, batch["images"], batch["label"], weights)}


def _registration(system: Registration, batch: Batch) -> Groups:
    images = batch["images" if system.config.registered else "unpaired_images"]
    return reference_translation_terms(system, images, system.config)


def _pretraining(system: Pretraining, batch: Batch) -> Groups:
    config, x_g = system.config, _generated(system, batch)
    terms, factor = _reconstruction(config, x_g, batch), config.pretraining.adversarial
    if not factor:
        return {"G": terms}
    groups = reference_versus(system.networks["D"], batch["images"], x_g, config.adversarial)
    versus = {name: factor * term for name, term in groups["G"].items()}
    return {"G": {**terms, **versus}, "D": groups["D"]}


def _reconstruction(
    config: SynthesisConfig, x_g: Sequence[tf.Tensor], batch: Batch, factor: float = 1.0
) -> Terms:
    w = config.pretraining
    weights = (factor * w.reconstruction, factor * w.outside)
    return reference_reconstruction_terms(x_g, batch, *weights, ERRORS[w.error])


def _synthesis(system: Synthesis, batch: Batch) -> Groups:
    """Also lesions, intensities outside of the organ and eq. 18, each if it has a weight."""
    config, x_g = system.config, _generated(system, batch, "random_")
    groups = reference_synthesis_terms(system, x_g, batch, config)
    images = tf.concat(x_g, axis=-1)
    if config.lesion:
        data = images, batch["random_label"], config.class_weights
        lesions = list(lesion_terms(guide(system, LesionGuide).segmenters, *data).values())
        groups["G"]["G/lesion"] = config.lesion * tf.add_n(lesions)
    if config.outside:
        energy = masked_energy(images, batch["random_outside"])
        groups["G"]["G/outside"] = config.outside * M * energy
    if config.reconstruction:
        rebuilt = _generated(system, batch)
        groups["G"].update(_reconstruction(config, rebuilt, batch, config.reconstruction))
    return groups


def _samr(system: SAMR, batch: Batch) -> Groups:
    """A forward pass of G for the update of each group of networks."""
    data, w = system.inputs(batch), system.config.weights
    made = {group: system.learning(data) for group in system.groups}
    groups = {"G": system.versus(data, made["G"])[0], "D": system.versus(data, made["D"])[1]}
    if "U" in made:
        groups["U"] = {"U/real": system.shape_error(data, data.images)}
        groups["U"]["U/fake"] = system.shape_error(data, made["U"])
        groups["G"]["G/consistency"] = w.consistency * system.shape_error(data, made["G"])
    if w.absolute:
        groups["G"]["G/absolute"] = w.absolute * mean_absolute_error(made["G"], data.images)
    return groups


def _label_net(system: LabelNet, batch: Batch) -> Groups:
    """The step's own calls: it stacks none."""
    return {"S": system.terms(batch)}


REFERENCE_TERMS = {
    StructureGAN: _structure,
    Segmentation: _segmentation,
    Registration: _registration,
    Pretraining: _pretraining,
    Synthesis: _synthesis,
    SAMR: _samr,
    LabelNet: _label_net,
}


def _generated(system: GANSystem, batch: Batch, prefix: str = "") -> list[tf.Tensor]:
    """The four images [B,H,W,1]; not for the fusion "noise", which has an input per modality."""
    maps = [batch[prefix + name] for name in ("structure", "outside", "label")]
    x = generator_input(system.config, *maps, batch["seed"])
    return to_each_modality(system.networks["G"], x)


def _others(i: int) -> list[int]:
    return [j for j in range(M) if j != i]


def _code(x: tf.Tensor, modality: int) -> tf.Tensor:
    return tf.one_hot(tf.fill([tf.shape(x)[0]], modality), M)


def _translated(G_t: tf.keras.Model, x: tf.Tensor, i: int, j: int) -> tf.Tensor:
    """Returns x [B,H,W,1] of modality i as modality j; the twelve are numbered row by row."""
    if G_t.spec.conditions == M:
        return G_t(x, _code(x, j))
    return G_t(x, tf.one_hot(tf.fill([tf.shape(x)[0]], (M - 1) * i + j - (j > i)), M * (M - 1)))


def _differences(versions: Sequence[tf.Tensor]) -> tf.Tensor:
    pairs = itertools.combinations(versions, 2)
    return tf.add_n([mean_squared_error(a, b) for a, b in pairs])


def _judge_real(
    d: Terms, network: tf.keras.Model, image: tf.Tensor, modality: int, w: AdversarialWeights
) -> None:
    valid, index = network(image)
    d["D/real"] += w.real * least_squares(valid, REAL)
    d["D/modality"] += w.modality * mean_squared_error(index, float(modality))


def _judge_fake(
    g: Terms,
    d: Terms,
    network: tf.keras.Model,
    image: tf.Tensor,
    modality: int,
    w: AdversarialWeights,
) -> None:
    valid, index = network(image)
    d["D/fake"] += w.fake * least_squares(valid, FAKE)
    g["G/adversarial"] += w.fake * least_squares(valid, REAL)
    error = mean_squared_error(index, float(modality))
    g["G/modality"] += w.modality * error
    if w.modality_fake:
        d["D/modality_fake"] += w.modality_fake * error

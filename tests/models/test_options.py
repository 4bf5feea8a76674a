"""Options of the main system that its published form leaves off."""

from __future__ import annotations

import numpy as np
import pytest

from models.lesions import Segmentation, SegmentationConfig
from models.networks.adversarial import AdversarialWeights
from models.structure_gan.config import PretrainingConfig, RegistrationConfig, SynthesisConfig
from models.structure_gan.guidance import brats_guides
from models.structure_gan.registration import Registration
from models.structure_gan.structure_config import StructureConfig, StructureWeights
from models.structure_gan.synthesis import Synthesis
from utils.errors import UserError

SMALL = {"width": 2, "initializer": "he_normal"}


def build(**changes: object) -> Synthesis:
    translator = Registration(RegistrationConfig(**SMALL, discriminator_stddev=0.2), 1)
    config = SynthesisConfig(**SMALL, discriminator_width=8, **changes)
    segmenters = Segmentation(SegmentationConfig(**SMALL))
    return Synthesis(config, brats_guides(translator, segmenters, config))


@pytest.mark.parametrize("stddev", [0.02, 0.2])
def test_spread_of_the_discriminators_kernels_is_an_option(stddev):
    system = build(discriminator_stddev=stddev)
    kernels = [v for v in system.networks["D"].trainable_variables if "kernel" in v.name]
    values = np.concatenate([kernel.numpy().ravel() for kernel in kernels])
    assert values.std() == pytest.approx(stddev, rel=0.1)


def test_activation_and_bare_outputs_reach_every_network():
    options = {"activation": "leaky_relu", "output_norm": False}
    translator = Registration(RegistrationConfig(**SMALL, output_offset=-2.0, **options), 1)
    segmenters = Segmentation(SegmentationConfig(**SMALL, output_offset=(1.0,) * 5, **options))
    config = SynthesisConfig(**SMALL, discriminator_width=2, output_offset=-3.0, **options)
    synthesis = Synthesis(config)
    biases = {"G_t": [-2.0], "G": [-3.0], **{f"G_l{i}": [1.0] * 5 for i in range(4)}}
    for system in (translator, segmenters, synthesis):
        for name, network in system.networks.items():
            hidden = network.trunk if name.startswith("D") else network.decoder
            assert {unit.row.activation for unit in hidden} == {"leaky_relu"}, name
            if name in biases:
                assert list(network.output_unit.convolution.bias) == biases[name]
                assert network.output_unit.norm is None


@pytest.mark.parametrize(
    ("config", "arguments", "named"),
    [
        (SegmentationConfig, {"output_offset": (1.0,)}, "segmentation.output_offset"),
        (SegmentationConfig, {"class_weights": (1.0,) * 4}, "segmentation.class_weights"),
        (SynthesisConfig, {"class_weights": ()}, "synthesis.class_weights"),
        (StructureConfig, {"width": 1}, "structure.width"),
        (StructureConfig, {"latent_size": 15}, "structure.latent_size"),
        (StructureConfig, {"map_size": (100, 96)}, "map of 100x96 cannot be halved 6 times"),
        (StructureConfig, {"keep_mask": 0.0}, "structure.keep_mask is 0.0; give a fraction"),
        (StructureConfig, {"outside_channels": "all"}, "outside_channels .* one of line, both"),
        (StructureWeights, {"kl": float("nan")}, "structure.weights.kl is nan; give 0 or more"),
        (SegmentationConfig, {"loss": "dice"}, "segmentation.loss .* squared_error, cross_entropy"),
        (SegmentationConfig, {"activation": "tanh"}, "segmentation.activation"),
        (SegmentationConfig, {"initializer": "zeros"}, "segmentation.initializer is 'zeros'"),
        (
            RegistrationConfig,
            {"discriminator": "vgg"},
            "discriminator is 'vgg'; .* patch, fine, vgg11",
        ),
        (RegistrationConfig, {"condition": "x"}, "registration.condition"),
        (RegistrationConfig, {"supervised": 1.0}, "registration.supervised .*registered true"),
        (AdversarialWeights, {"fake": -1.0}, "adversarial.fake is -1.0"),
        (PretrainingConfig, {"learning_rate": 0.0}, "synthesis.pretraining.learning_rate"),
        (SynthesisConfig, {"learning_rate": float("inf")}, "synthesis.learning_rate is inf"),
        (SynthesisConfig, {"noise": (0.6, 0.5)}, "synthesis.noise"),
    ],
)
def test_values_that_no_network_can_have_are_refused(config, arguments, named):
    with pytest.raises(UserError, match=named):
        config(**arguments)

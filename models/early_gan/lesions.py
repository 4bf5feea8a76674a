"""The lesion nets of the early paper: three schemes, and a net that sees all modalities."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from models.early_gan.config import LesionNetsConfig
from models.early_gan.networks import CODE_WIDTH, CodeEncoder
from models.lesions import Segmentation
from models.networks.modalities import NUM_MODALITIES, from_rows, to_rows
from models.networks.unet import SIZE_MULTIPLE, UNet, UNetSpec


class LesionNets(Segmentation):
    """Encoders EC_L and decoders DC_L of a scheme, trained together by one optimiser."""

    def __init__(self, config: LesionNetsConfig):
        together = config.scheme == "1seg_4channel"
        super().__init__(config, "four_channel" if together else "per_modality")
        self.class_weights = config.weights

    def build_networks(self, options: dict[str, Any]) -> dict[str, tf.keras.Model]:
        """Returns the scheme's networks by name."""
        config, options = self.config, {**options, "skips": False}
        if config.scheme == "1seg":
            return {"L": config.build_unet(1, "L", **options)}
        if config.scheme != "1ecl_4dcl":
            return super().build_networks(options)
        spec = UNetSpec(
            config.width,
            initializer=config.initializer,
            output_offset=config.output_offset,
            activation=config.activation,
            output_norm=config.output_norm,
            **options,
        )
        decoders = {f"DC_L{i}": _decoder(spec, f"DC_L{i}") for i in range(NUM_MODALITIES)}
        return {"EC_L": CodeEncoder(spec, 1, "EC_L"), **decoders}

    def class_scores(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images [B,H,W,4] to class scores [B,K,H,W,5], see `Segmentation.class_scores`."""
        networks = self.networks
        if self.config.scheme == "1seg":
            return from_rows(networks["L"](to_rows(images)), NUM_MODALITIES)
        if self.config.scheme != "1ecl_4dcl":
            return super().class_scores(images)
        codes = tf.unstack(from_rows(networks["EC_L"](to_rows(images)), NUM_MODALITIES), axis=1)
        scores = [networks[f"DC_L{i}"].decode((code, {})) for i, code in enumerate(codes)]
        return tf.stack(scores, axis=1)


def _decoder(spec: UNetSpec, name: str) -> UNet:
    """Returns a U-Net of which only the decoder is used, and has variables."""
    network = UNet(spec, name)
    network.decode((tf.zeros([1, SIZE_MULTIPLE, SIZE_MULTIPLE, CODE_WIDTH * spec.width]), {}))
    network.built = True
    return network

"""A lesion label and an atlas -> all sequences of a slice, registered: SAMR and its ablations.

Sources: Guo, Wang, Zhou, Jiang & Patel, "Lesion mask-based simultaneous synthesis of anatomic and
molecular MR images using a GAN", MICCAI 2020 ("the paper"); the released networks (facts in the
project's reference, "peer systems" 2 and 3).

Paper -> code

| paper | here |
| --- | --- |
| G: label encoder, atlas encoder, trunk, "stretch-out" decoders | `networks.Generator` |
| D1..D6, label-wise and multi-scale | `networks.PatchDiscriminator`, `regions.regional_views` |
| U | `networks.build_segmenter` |
| eq. 1 | `losses.adversarial.ADVERSARIAL` |
| eq. 2 | `losses.matching.feature_matching` |
| eq. 3, 4 | `losses.segmentation.soft_dice_per_class` |
| eq. 5, one update | `gan.SAMR.train_step` |
| learning rate | `utils.training.schedules.constant_then_linear` |
| rivals | `config.METHODS`: pix2pix, pix2pixHD, Shin et al. |
| ablations | fields of `config.SAMRConfig`: stretch_out, label_wise, atlas, weights.consistency |

Labels are 0 background, 1 normal brain, then the lesion's. Images and atlas are [0,1] outside and
[-1,1] inside.

Choices where the sources are silent or disagree

* Five halvings of 16 channels (paper: the depth) instead of the code's three of 64: as many
  parameters, 299 million.
* Batch norm in G and U (paper), instance norm in D (code).
* Least squares (code) instead of the logarithmic loss (paper); the sums over the discriminators.
* Feature matching is squared, its sum over layers and discriminators weighs 5 (paper); pix2pixHD's
  form is an option.
* The discriminators see label, atlas and images (code); the paper draws label and images. Their
  label has the lesion's union in its first lesion channel, as the code's addition in place makes
  it, made anew for each.
* U has an optimiser of its own and minimises both parts of eq. 4; G receives the second.
* G, D and U are updated from one forward pass of G, D's loss with a factor of 0.5 (pix2pixHD).
* Rivals see no atlas (paper silent). pix2pix and Shin et al. drop half of the outputs of the first
  three up rows in training (Shin et al., pix2pix' paper; its later code spares the innermost one)
  and none afterwards. Shin et al. get their tissues from maps, not from a network of their own.
* Adam: beta1 0.5 (paper silent).
* The atlas' three slices are stacked from below to above, each with all sequences; at the ends of
  the volume the edge repeats.
* The sequences have the data set's order; the code turns it around.
* `weights.absolute` is ours, 0 as published: with few updates, pixel by pixel guidance.

Known deviations

* Biases start at 0 (PyTorch: small and uniform).
* Batch norm takes each replica's statistics alone, as the code's would on several GPUs.
* TensorFlow's legacy Adam adds epsilon before the bias correction, PyTorch's after it.

Published weights can be loaded: `models.networks.torch_layout.load_torch_layout`.
"""

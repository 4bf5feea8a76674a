"""Label volumes -> volumes of one modality: MM-GAN.

Source: Sun, Yuan & Sun, "MM-GAN: 3D MRI data augmentation for medical image segmentation via
generative adversarial networks", ICKG 2020 ("the paper"). No code was released.

Paper -> code

| paper | here |
| --- | --- |
| generator, discriminator | `networks` |
| spectral normalisation | `models.blocks.spectral` |
| eq. 1 and 2 | `gan.MMGAN.terms` |
| image pool | `pool.ImagePool` |
| label 3, the brain outside of the tumour | `gan.with_organ` |
| new label maps of T1 | `data.synthetic_sets.reshaped` |
| segmenter like the generator (4.3), C-EL, cascade of three (4.4) | `regions.Regions` |
| Tables I and II, Fig. 7 and 10 | `experiments.tables.mm_gan` |

Choices where the paper is silent or disagrees with itself

* Targets are 1 for real, 0 for generated and 1 for G. The paper says so in words and prints D's the
  other way round, with which G would help D.
* The scores' mean in the place of their sum (`reduction`), so that rates fit volumes of any size.
* Two convolutions per block, a slope of 0.2, instance norm without scale and offset, Glorot's
  initial kernels; the input block has half of the channels of the first block down (`width` 8), or
  as many (`width` 16).
* Sizes are doubled by linear interpolation: TensorFlow has no cubic one for volumes.
* The label enters one-hot, a channel for each class (5 for the brain), and stands beside the
  volume in front of D.
* The organ is a class in CT too: lesions lie in the liver. The rest of the body is a class of the
  data set, whose outline the label has.
* Layers of D are not in the text: two with stride 2, as it says, and a map of scores of a quarter
  of each side (`discriminator` patch), or those of SimGAN's discriminator in three dimensions.
* The pool shows a kept pair with a probability of 0.5, after it has been filled.
* Intensities are z-scores inside the brain, cut at 5 standard deviations and scaled to tanh's
  range.
* A new label has the tumour flipped (with a probability of 0.5), deformed by up to 6 mm, turned by
  up to 20 degrees and scaled to 0.7 to 1.3 of its length.
* One update of D and one of G in a step, from one forward pass.
* Outside of the label's organ a generated volume is black before D sees it: otherwise D tells the
  two apart by that.
* `reconstruction` adds the mean absolute difference to the patient's volume; the paper has no such
  term, and the default is 0.

Known deviations

* With several replicas the pool keeps the pairs of the first one.
* The segmenters of the tables take part in no challenge: Adam with beta_1 0.5, a constant rate or
  a cosine, a fixed number of updates, no augmentation, whole volumes in the place of patches.
"""

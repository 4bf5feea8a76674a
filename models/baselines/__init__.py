"""What the main system is compared with: GAN# and SkrGAN* of the thesis, and five classic GANs.

GAN# and SkrGAN* are those that the thesis trained itself (Table 3); the others stand in its Table 2
with numbers of another paper.

Sources: Yili Qu, master thesis, footnotes of Table 3 ("the thesis"); the released code, folders
BaseGAN and SkrGAN (facts in the project's reference, "original code" 2.8, "peer systems" 6.2).

Paper -> code

| source | here |
| --- | --- |
| GAN# ("BaseGAN"; DCGAN with a U-Net and "VGG11") | `system.Baseline` with `config.GAN_SHARP` |
| SkrGAN* (the thesis' version of SkrGAN) | `system.Baseline` with `config.SKRGAN_STAR` |
| G_x, G_y, G_z, G_w (one per modality, no condition) | `models.networks.unet` |
| D_x, D_y, D_z, D_w (one head, "VGG11") | `models.networks.discriminator` |
| N(0,1) noise image, or 1 - s | `system.Baseline.synthesize` |
| D loss 100/70 or 5/3, G loss 70 or 3, 5 mse(G(1 - s), x) | `system.Baseline.train_step` |

x, y, z, w are T1, T2, T1c, Flair. The two systems differ in a row of settings and in nothing else.

Choices where the sources disagree

* SkrGAN*: the footnote says "no self-supervised pre-training"; the code has no such phase, but
  keeps the squared error to the paired slice in every step. The code is followed (`reconstruction`
  0 leaves it out).
* The noise of GAN# is an image as large as the slice, fresh for every step and modality. A DCGAN
  has a vector: the name says where the design comes from, not what it is.
* G and D of all modalities are updated at once, from one forward pass, by one Adam each: Adam works
  element by element, so this equals one per network.

Known deviations

* The released code's defects are not reproduced: SkrGAN* takes two outputs from one-headed
  discriminators (it cannot run), and the sampling script of GAN# shows G_x four times.
* Leaky ReLU and the literal VGG11 of the text are `activation` and `discriminator`, as in the main
  system; the default is the code's capped ReLU and six convolutions.

The classic GANs make images of a random vector and know no label and no map:

| paper | here |
| --- | --- |
| DCGAN: Radford, Metz, Chintala 2016 | `latent_gan.DCGAN`, `latent_networks.dcgan_networks` |
| ACGAN: Odena, Olah, Shlens 2017 | `latent_gan.ACGAN`, `latent_networks.acgan_networks` |
| WGAN: Arjovsky, Chintala, Bottou 2017, Algorithm 1 | `latent_gan.WGAN`, `.wgan_networks` |
| WGAN-GP: Gulrajani et al. 2017, Algorithm 1 | `latent_gan.WGANGP`, `.wgan_gp_networks` |
| PGGAN: Karras et al. 2018 | `pggan.PGGAN`, `pggan_networks` |
| their own settings | `latent_config` |

Choices, and deviations from their authors' code

* Images are squares; slices get black margins, which generated ones lose again (`to_square`). All
  modalities of a slice are channels of one image; ACGAN makes one modality at a time, and its class
  is the modality. X-rays have their disease as class, other single images none.
* D and G are updated on one batch, G with vectors of its own (DCGAN's code takes turns on batches).
* Samples are made with batch norm's running statistics, so that an image does not depend on the
  others of its batch; the authors use those of the batch. Devices keep statistics of their own.
* ACGAN's classes have the paper's cross-entropy; `nll_of_softmax` is the released code's slip. For
  other sizes than 128 its narrowest row is left out or repeated.
* WGAN's weights are clipped behind each update, as in the paper; the code clips before it.
* PGGAN's size and share change with every update, not every fourth; its batch is the first part of
  a pipeline's batch of one size (`batch_sizes`). It has no labels, and stops when it has grown: the
  authors go on at the full size.
* Weights of WGAN-GP begin uniform: with He's spread in the 3x3 kernels of residual blocks and in
  the one to the image, with Glorot's in all others, the critic's first convolution among them.

Not claimed: a reproduction of SkrGAN itself (Zhang et al., MICCAI 2019). Its sketches, networks and
weights were not published in enough detail; SkrGAN* shares its idea, sketch -> image, and nothing
else. Neither system has a lesion label, a registration term, or a modality condition.
"""

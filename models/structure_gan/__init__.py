"""Structure maps -> images with a lesion, such as registered multi-modality MRI: the main system.

Sources: Yili Qu, "synthesis of registered multimodal medical images with lesions", master thesis
("the thesis", equations and algorithms below); its predecessor ("the paper"); the released code
(facts in the project's reference, cited as "original code" with section numbers).

Paper -> code

| thesis | here |
| --- | --- |
| Algorithm 1, 2 (structure map, mask) | `data.structure_maps.extraction` |
| Algorithm 3 (usable random maps) | `data.structure_maps.filter`, `building.MapSampler` |
| label inside the mask (4.5) | `data.structure_maps.labels`, `data.synthetic_sets.matching` |
| E_s, G_s, D_z (Fig. 7) | `map_networks` |
| G_m, G, G_t, G_l (U-Net) | `models.networks.unet` |
| D_s, D, D_t ("VGG11") | `models.networks.discriminator` |
| eq. 6-11 (structure maps and masks) | `structure.StructureGAN` |
| eq. 12 (noise fusion) | `synthesis.fuse_noise` |
| eq. 13-17 (images, lesion, registration) | `synthesis.Synthesis` |
| Table 1 (inputs of the ablation's variants) | `synthesis.generator_input` |
| eq. 18 (self-supervised pre-training) | `synthesis.Pretraining` |
| eq. 19-21 (modality translator) | `registration.Registration` |
| eq. 15, 16, end of 4.5 (what guides G) | `guidance` |
| eq. 22 (lesion segmenters) | `models.lesions.Segmentation` |
| VGG11 classifier (X-rays) | `classification`, `models.networks.vgg` |
| SSD detector (CT) | `detection`, `models.networks.ssd`, `losses.detection` |
| vessel U-Net (Table 6) | `vessels` |

Choices where the sources are silent or disagree

* Loss weights, initialisers, capped ReLU, instance norm before the output sigmoid: the released
  code. Adam with beta1 0.5, epsilon 1e-8, no decay, G and D updated from one forward pass. The
  texts' leaky ReLU and bare outputs are `activation` and `output_norm` of G, G_t and G_l; the mean
  filter over a layer's true input channels is `initializer="mean_filter_exact"`.
* The label enters G as one-hot + 0.1 beside s' (6 channels); `label_scale=0.18` is one release,
  `label_input=False` the released BRATS generator, which sees no label.
* G_l: squared error of sigmoids (the code); `loss="cross_entropy"` is a class-weighted soft-max.
* D gets no class term on generated images (the equations have it, the code does not); weight
  `AdversarialWeights.modality_fake`.
* "VGG11" discriminators are the code's six convolutions; `discriminator="vgg11"` is the real trunk.
* Translator: adversarial terms on the translations (the released code puts them on real images),
  cycles and their mutual consistency on unregistered images.
* Only the line channel of a map is penalised outside the organ; the code penalises both channels
  and averages over them, which halves the weight of the lines (`outside_channels="both"`).
* G_m shares the optimiser of E_s and G_s and learns from the lines outside the organ as well;
  "trained alone" is `separate_mask_optimizer`.
* Random maps are judged by their contours; the released script also takes those that D_s scores
  0.55 or more (`min_map_score` of the synthetic set), and keeps the best by score, not by contour.
* Random codes are drawn from N(0, I); `prior="fitted"` draws them from the Gaussian of the training
  codes (no source has it), for trainings too short to bring the codes there. In training s_g is
  decoded from N(0, I) with either.
* A second, fine code for the places of a map (`fine_channels`; no source has it) lets few steps
  learn the folds of the cortex; D_z and the moments see the code of the whole map alone.
* Pre-training minimises squared errors without D; `pretraining.error="absolute"` and
  `pretraining.adversarial` are for sharper slices within minutes, as is the trunk `"fine"` of D,
  D_t and D_s, which scores small patches of small slices.
* Translator: `registered` with `supervised`, `error="absolute"` and `decay="cosine"` is for
  registered data and minutes. Without weight for G_t's terms there is no D_t and there are no
  cycles, which are most of an update's arithmetic.
* Codes' moments are taken per sample, which is what four GPUs with one image each compute.
* Dropout acts on network inputs in training only; the released graphs also kept it at generation
  (`dropout_at_generation`).

On the data sets of single images

* G has no modality and D one head; `Content` says what G makes. X-rays: cross-entropy of a VGG11
  with a global mean (the released code: squared error of a six-layer patch network). D sees all
  classes, in the release normal children only.
* CT: the detector's default boxes have sides, not areas, of the given scales, linear heads, forced
  matches and hard negatives; as coded, a nodule could match no box.
* CT: in slices of less than 512 pixels the levels begin one or two halvings earlier
  (`detection.fine_levels`). Otherwise a cell is as large as its boxes: a lesion between cells has a
  single poor match, and its own neighbours become hard negatives.
* Tianchi: a pixel of the label has the class of its lesion, the smallest where some overlap, and a
  lesion is the ellipse in its box: from filled boxes (thesis 4.6) G makes square nodules. The
  release told G only that there is a box. Boxes are chosen to fit the map, see
  `data.tianchi_ct.placing`; they are mirrored, not moved or scaled. A lesion is on the slices that
  its cuboid reaches, not an ellipsoid in it.
* Samples are asked for in every class equally often; the real X-rays of D and the classifier keep
  their frequencies. Children are told apart by name, so that IM-0115 and NORMAL2-IM-0115 are two.
  There is no third part for validation.
* Random maps of retina and brain pass Algorithm 3; for X-rays and CT no source has a filter, and
  the thesis' settings have none.
* Image quality (Tables 2, 3): MS-SSIM of random pairs, as for BRATS, and colours one by one, also
  by networks that were made for three; of neighbouring slices the middle one.

A finding about the modality condition

The one-hot code is concatenated as *constant* maps in front of a convolution that instance norm
follows. A constant adds an offset per channel, which instance norm subtracts again, except at the
borders, where zero padding lets it leak in. With its own initialiser the original generator gives
the same image for all four codes. `condition="concat"` keeps this (default, as published);
`"conditional_instance_norm"` looks scale and offset up per modality, and the four contrasts appear.

A finding about the translator's code

Told the target alone, as published, G_t has to see which modality it is given. Its convolutions see
a few pixels of normalised slices and do not know a T1 from a T2: T1 to T1c, little more than a
factor, comes out worse than T2 to T1c, and best are targets whose sources look alike.
`registration.code="translation"` gives G_t a code for each of the twelve translations.

A finding about the norm before the output

Instance norm in front of the sigmoid gives every slice the same mean and spread of logits, whatever
fraction of it is brain or lesion. `output_norm` stays on by default, as published in code; the demo
has bare outputs, as the thesis' text.

Known deviations

* In training, 8 labels are tried for a random map; if none fits, the sample has no lesion (the code
  redraws for ever). The set builder tries 100 and then draws another map.
* Samples are selected by whole-tumour Dice >= 0.95 (the paper: label-index Dice > 0.95).
* Options of the sources that are not offered: leaky ReLU and bare outputs in the structure stage,
  input dropout outside of it, the coded defects of classifier and detector, maps of X-rays cut at
  1500 pixels, initial spread 0.2 for E_s, G_s, D_z and D_s, a soft-max class head,
  jointly trained segmenters, adversarial steps of G on extracted maps or registered modalities,
  z-scores, the leak, the demand that a selected set scores 0.98.
  The older weight sets are a matter of the weights' fields.
* With mixed precision the casts swallow the mean filter's 1e-6 noise: choose he_normal with it.
* Weights of the original (TensorFlow 1) cannot be loaded; random streams differ.
* The released code's defects are not reproduced: missing label, adversarial terms on real images,
  swapped cycle, labels shared between GPUs, leak of training patients into the test set.
"""

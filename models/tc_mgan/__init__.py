"""T2 -> FLAIR, T1ce and T1 with a tumour consistency loss: TC-MGAN and its three rivals.

Sources: Xin, Hu, Zheng & Liao, "Multi-modality generative adversarial networks with tumor
consistency loss for brain MR image synthesis", ISBI 2020 ("the paper"); the released code (facts in
the project's reference, "peer systems" 2 and 4).

Paper -> code

| paper | here |
| --- | --- |
| 2.1 pix2pix, one model per target | `gan.TCMGAN` with `variant="pix2pix"` |
| 2.2 modality labels (MGAN) | `variant="mgan"`, `models.networks.pix2pix` |
| 2.3 tumour consistency (TC-MGAN) | `variant="tc_mgan"` |
| 3.1 S trained along (TC-MGAN bw) | `variant="tc_mgan_bw"`, `gan.TCMGAN._segmenter_step` |
| G, D, S (architectures: released code) | `networks` |
| eq. 2, 3 (modality classification) | `losses.classification.sigmoid_cross_entropy_sum` |
| eq. 4 (consistency: Dice of S(G(x, c), c)) | `losses.segmentation.soft_dice_per_sample` |
| eq. 5 (gradient penalty) | `losses.adversarial.gradient_penalty_of_sum` |
| eq. 6 (objective of D) | `gan.TCMGAN._critic_step` |
| eq. 7 (objective of G) | `gan.TCMGAN._generator_step` |
| 2.3 pre-training of S | `segmenter.Segmenter` with "labelled_target" inputs |
| Fig. 2, Table 2 (accuracy of a segmentation net) | `segmenter.Segmenter` with "four_channel" or |
| | "source" inputs, `modalities.replace_targets` |
| random target c per sample | `modalities.draw_targets` |

Outside, images are [0,1] in the project's order T1, T2, T1c, Flair; inside they are [-1,1], and
targets count as in the released code: 0 FLAIR, 1 T1ce, 2 T1 (`modalities.TARGETS`). The whole
tumour is every label above 0.

Choices where the sources are silent or disagree

* Critic score, absolute error and the score behind the penalty are *sums* over the map or image,
  as in the code: the paper's weights make sense with them alone.
* The class term is a sum of three binary cross-entropies (code), not a soft-max (paper).
* One step is one update of D, of G, and in bw of S, each on a forward pass of its own.
* Adam: beta1 0.9, beta2 0.999, epsilon 1e-8 (code; paper silent). The rate falls at epochs 30, 60
  and 90 of 100: fractions of a training, so that it also falls in a shorter one. S of bw has G's
  rate.
* S is pre-trained with the code's rate 1e-4 (paper: 1e-3), the evaluation nets with 1e-3.
* Frozen S works in inference mode (paper: fixed; the released script leaves it in training mode).
  In bw it uses the batch's statistics, as the script does.
* In bw S learns a copy: the segmenter's own weights stay those of its stage.
* The three models of pix2pix are trained side by side, each on every batch.
* Images other than 128x128 shorten G and the map that the critic judges (`networks`). Their sums
  have fewer summands: with 32x32 pixels the weight 0.1 counts a sixteenth.
* Evaluation nets see the channels in the project's order; the code's is FLAIR, T1, T1ce, T2.
* `weights.l1_labels` is ours: factors of the absolute error by label. All are 1 by default, as
  published; only the presets demo and tiny raise that of the enhancing tumour.

Known deviations

* Transposed convolutions of S start with biases of 0 (PyTorch: small and uniform); batch norm
  cancels all of them but the last layer's.
* The root of the penalty's norm has 1e-12 inside: without it a zero gradient gives no number.
* Batch norm takes each replica's statistics alone, as the code's would on several GPUs. With S
  frozen, or without S, several replicas equal one with the whole batch.
* Training slices are an endless stream: a batch can have slices of two epochs, no incomplete last
  batch is dropped, and the rate falls at fractions of the updates instead of at epochs.
* TensorFlow's legacy Adam adds epsilon before the bias correction, PyTorch's after it: it weighs 32
  times as much in the first update, and the same in the end.
* Weights of the original (PyTorch) cannot be loaded; random streams differ.

The released code's defects are not reproduced: weights that are never defined; G, overwritten by S
in its file; evaluation nets trained on test labels, with FLAIR in the place of T2; scores divided
by the batch size once more; three of four variants missing.
"""

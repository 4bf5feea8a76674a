"""What the reported numbers mean: definition, good direction, and the rule for empty input.

P and R are the predicted and the reference pixels, a and b the predicted and reference labels.

| metric           | definition                                               | better | empty   |
| ---------------- | -------------------------------------------------------- | ------ | ------- |
| dice_<class>     | 2 |P and R| / (|P| + |R|) of one class, mean over images | 1      | (1)     |
| dice_wt          | the same, whole tumour: all labels above 0               | 1      | (1)     |
| legacy_dice      | (2 sum ab + 1e-5) / (sum a^2 + sum b^2 + 1e-5), likewise | 1      | both: 1 |
| legacy_mse       | (a - b)^2, mean over all pixels                          | 0      | both: 0 |
| outside_share    | share of an image's summed intensity outside the organ   | 0      | 0       |
| pairwise_overlap | Dice, mean over all pairs of one sample's binary maps    | 1      | (1)     |
| diversity_ssim   | SSIM, mean over random pairs of different images         | (2)    | error   |

(1) Both empty: NaN, left out of the mean. Only one empty: 0. Nothing left: NaN.
(2) Lower is more diverse, 1 is a collapsed set; the mark to meet is the value of real images.

The legacy numbers follow the original code and weigh classes by their number (label 3 in place of 4
scores 0.96). They serve comparison only.
"""

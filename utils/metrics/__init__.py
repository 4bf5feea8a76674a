"""What the reported numbers mean: definition, good direction, rule for empty input, unit of length.

P and R are the predicted and the reference pixels, a and b the predicted and reference labels, e is
1e-5, m and C the mean and covariance of features. Only kinds of HD95 are in units of length.

| metric            | definition                                      | better | empty   | spacing |
| ----------------- | ----------------------------------------------- | ------ | ------- | ------- |
| dice_<class>      | 2 |P and R| / (|P| + |R|), mean over images     | 1      | (1)     | -       |
| dice, smoothed    | (2 |P and R| + 1) / (|P| + |R| + 1) per image   | 1      | both: 1 | -       |
| dice_<region>     | the same of several labels, such as wt, tc, et  | 1      | (1)     | -       |
| sensitivity_<r.>  | |P and R| / |R| of a region, mean over images   | 1      | (2)     | -       |
| specificity_<r.>  | |not P and not R| / |not R|, mean over images   | 1      | (2)     | -       |
| legacy_dice       | (2 sum ab + e) / (sum a^2 + sum b^2 + e), mean  | 1      | both: 1 | -       |
| legacy_mse        | (a - b)^2, mean over all pixels                 | 0      | both: 0 | -       |
| hausdorff95       | 95th percentile of pooled border distances (3)  | 0 mm   | (4)     | mm      |
| dice, hd95 volume | the same of a patient's slices in 3-D           | 1, 0   | (1) (4) | mm      |
| lesionwise_dice   | Dice by lesion, mean in a volume (13)           | 1      | both: 1 | mm      |
| lesionwise_hd95   | HD95 by lesion, mean in a volume (13)           | 0 mm   | both: 0 | mm      |
| outside_share     | share of summed intensity outside the organ     | 0      | 0       | -       |
| pairwise_overlap  | Dice, mean over all pairs of a sample's maps    | 1      | (1)     | -       |
| relative_gradient | mean |grad x| / mean x of the healthy organ     | (12)   | NaN     | pixels  |
| power_spectrum    | density of (x / mean - 1) in bands of frequency | (12)   | NaN     | pixels  |
| line_share        | share of the organ's pixels on lines            | (12)   | NaN     | -       |
| psnr              | 10 log10(1 / MSE), full frame, peak 1, in dB    | high   | error   | -       |
| paired_ssim       | SSIM of an image and its true image             | 1      | error   | -       |
| uniform_ssim      | the same, 7x7 uniform window, range 1 or 2 (9)  | 1      | error   | -       |
| multi_scale_ssim  | MS-SSIM of the same, named ms_ssim_<scales> (5) | 1      | error   | -       |
| diversity_ssim    | SSIM or MS-SSIM (5), mean over random pairs     | (6)    | error   | -       |
| similarity_ssim   | the same between a set and real images          | (8)    | error   | -       |
| frechet_distance  | |m - m'|^2 + tr(C + C' - 2 (C C')^1/2)          | 0 (7)  | error   | -       |
| kernel_distance   | unbiased squared MMD, kernel (x.y / F + 1)^3    | 0 (7)  | error   | -       |
| similarity        | correlation of details, best of small shifts    | (10)   | 0       | -       |
| membership auc    | share of pairs that training slices win (11)    | 0.5    | error   | -       |
| ap50_<class>      | average precision of boxes at IoU > 0.5 (14)    | 1      | NaN     | -       |
| mean_best_iou     | best IoU with a detection of score >= 0.5, mean | 1      | NaN     | -       |
| froc_<rate>       | recall at so many false detections per image    | 1      | NaN     | -       |

(1) Both empty: NaN, left out of the mean. Only one empty: 0. Nothing left: NaN.
(2) No pixel to divide by: NaN, left out of the mean. Nothing left: NaN.
(3) MedPy's definition, one of three in use; see `surface.hausdorff95`. Slices are not volumes.
(4) Both empty: 0. Only one empty: NaN, left out of the mean and counted.
(5) Fewer scales below 176 pixels a side; values of different numbers of scales do not compare.
(6) Lower is more diverse, 1 is a collapsed set; the mark to meet is the value of real images.
(7) The mark to meet is `distributions.lower_anchor`. Name the extractor of the features and both N;
    standardise texture features first. Fewer samples enlarge the Frechet distance, not the other.
(8) Higher is nearer; the mark to meet is the value of other real images, which is far below 1.
(9) Range 1 is that of the intensities; 2 is for TC-MGAN's published figures. They do not compare.
(10) 1 is a copy; the mark to stay below is the value of other patients' slices. See `similarity`.
(11) By the similarity to the nearest synthetic slice; judged against its control, by patient.
(12) The mark to meet is the value of real slices; see `sharpness` for the rim that is left out.
(13) BraTS 2023: a lesion that is missed or made up scores 0 and 374 mm; see `volumes`.
(14) Area under the monotone precision over all points of recall; see `detection`.

The legacy numbers follow the original code and weigh classes by their number (label 3 in place of 4
scores 0.96). They serve comparison only.
"""

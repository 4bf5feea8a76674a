"""The paper that came before the thesis: maps and all modalities in one code space.

Source: Qu et al., the early paper on synthetic registered multi-modality images ("S0" in the
project's reference, "early paper"), and the released code of August and September 2019 (variants A
and B).

Paper -> code

| paper | here |
| --- | --- |
| 2.3 structure maps, FD_f, D_f, MASK | `maps.EarlyMaps`, or the thesis' networks by choice |
| EC_r; FD of codes | `networks.CodeEncoder`, `networks.MRICodeDiscriminator` |
| EC and DC of images ("EC_M", "DC_M") | `models.networks.unet` without skips |
| D ("D_M") | `models.networks.discriminator` with two heads |
| 2.4 reconstruction, translation and cycles of real images | `images.EarlyGAN._real_terms` |
| 2.6 generation | `images.EarlyGAN._made_terms`, `._edge_terms` |
| 2.4, 2.6 discriminators | `images.EarlyGAN._adversarial` |
| lesion components: 1SEG, 1ECL+4DCL, 4SEG | `lesions.LesionNets` |

The thesis put one U-Net in the place of EC_R and DC_M, and a frozen translator in that of EC_M and
DC_M, and has no FD_R.

Choices where the sources disagree (numbers of the reference, "early paper" 11)

* FD_R moves codes of maps and of images towards each other, as in the code; `one_sided` is the
  draft's. D_M has no class term of generated images and of translations, as in the code (1, 2).
* Weights are those of variant B; the lesion nets are trained before and frozen (5, 6, 7, 11). Their
  class weights follow the scheme, and are those of the joint variants where they learn on.
* Maps of both stages have the edge threshold of the code's image stage (8).
* Terms that thresholds cut off from the networks have smooth functions in their place
  (`live_terms`); off, they are logged alone (12). Terms of indices are left out: those of
  probabilities cover them.
* Label and map are 0.8 and 0.2 of five channels (10), the modality enters as maps or by the norm
  (`condition`): instance norm cancels maps but for the frame (17).

Known deviations

* There are no options for a class term of translations in D_M (2), A's weights under one name (6),
  labels joined as channels of their own (10) and input dropout (14); nor are the lesion nets'
  variants that read EC_M's code here.
* What is black in a real image is its background, without the code's enlargement by 5 pixels. The
  mask of the maps also tells where labels fit, the code's threshold for that is 0.1 (9).
* The image stage sees 2,000 extracted maps (`random_maps`), cut once before it starts; the code
  cuts one from each slice that it reads. Labels without a lesion, which the code often draws, are
  never drawn here.
* With live terms D_F sees a random map as one soft channel, the reference's two.
* A sample's label is drawn up to 100 times before its map is replaced (`label_tries`), not 50.
* Joint lesion nets learn from registered slices, those of the code from the unpaired ones.
* Activations are kept, not computed anew (gradient checkpointing): at n = 64 the image stage needs
  the memory of a large GPU; `--dry-run` tells how much.
* The presets demo and tiny give the lesion nets of all schemes 4SEG's class weights: in their
  Table 1 the row 1SEG has those of the other schemes, not 1, 15, 85, 85, 85.
"""

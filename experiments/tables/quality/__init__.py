"""Thesis Table 3: image quality beside SkrGAN* and GAN#."""

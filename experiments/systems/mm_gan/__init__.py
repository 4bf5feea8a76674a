"""MM-GAN: its stages, evaluation, pictures and report."""

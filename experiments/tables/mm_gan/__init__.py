"""Tables 1 and 2 and Figures 7 and 10 of MM-GAN."""

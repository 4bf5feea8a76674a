"""The main system on data sets of single images: X-rays, CT, photographs of the retina."""

"""Abdominal CT with a liver and its lesions: volumes named as those of LiTS, or raw for nnU-Net."""

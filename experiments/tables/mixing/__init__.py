"""Thesis Table 5: is synthetic data useful for training a segmenter?"""

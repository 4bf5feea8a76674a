"""Chest X-rays of children (Kaggle "chest X-ray pneumonia"): normal, bacterial, viral."""

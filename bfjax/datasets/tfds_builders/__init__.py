"""Builders for the command of TensorFlow Datasets."""

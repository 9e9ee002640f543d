"""Sets of TensorFlow Datasets, read by random access."""

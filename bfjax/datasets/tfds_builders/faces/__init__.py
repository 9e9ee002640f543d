"""Any source of images as a set of TensorFlow Datasets; see the builder."""

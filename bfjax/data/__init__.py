"""Row numbers to images: files, sources, decoding and the input stream."""

import os

# TensorFlow reads these when it is imported. It only decodes images here, and
# has nothing to say to the user.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

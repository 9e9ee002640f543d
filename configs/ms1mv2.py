"""MS1MV2 (faces_emore, 85,742 classes), IR-50 on 8 GPUs, BoundaryFace.

Command:
  python -m bfjax.main --config=configs/ms1mv2.py --workdir=DIR \
    --config.data.root=IMAGES --config.data.list=LIST --config.eval.root=SETS

Hardware: 8 GPUs with 12 GB (32 rows each at 112x112 in float32); any number
  that divides the batch of 256 trains the same model, since batch norm takes
  its statistics over groups of 32 rows however they are spread.
Images: about 5.8 million in LIST, lines `path  label`, aligned to 112x112.
To expect: 24 epochs of 22,700 steps. Not trained by us yet. Published (Wu and
  Gong, ECCV 2022, PyTorch), MegaFace rank-1 and IJB-C at FAR 1e-4:
    ArcFace                    97.31 94.51
    BoundaryFace, lambda = pi  97.41 94.49
  lambda = pi fits labels as clean as these; for MS1M see configs/ms1m.py, and
  docs/study.md for what lambda does.
"""

import ml_collections

from bfjax import defaults


def get_config() -> ml_collections.ConfigDict:
  """The recipe for both MS1M lists, lambda = pi."""
  return defaults.get_ms1m_config()

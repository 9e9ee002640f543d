"""CASIA-WebFace as it is (10,572 classes of the cleaned list), IR-50.

Command:
  python -m bfjax.main --config=configs/casia.py --workdir=DIR \
    --config.data.root=IMAGES --config.data.list=LIST --config.eval.root=SETS

Hardware: one GPU with 12 GB (batch 64 at 112x112 in float32); with
  --config.backbone.dtype=bfloat16 less. More GPUs share the batch of 64.
Images: about 455,000 in LIST, lines `path  label`, aligned to 112x112.
To expect: 30 epochs of 7,100 steps. Not trained by us yet. Published (Wu and
  Gong, ECCV 2022, PyTorch) on LFW / AgeDB-30 / CFP-FP / CALFW / CPLFW / SLLFW /
  RFW Asian, Caucasian, Indian, African, protocol `boundaryface`:
    ArcFace       99.28 93.50 94.89 93.17 89.13 97.55 85.57 92.88 89.90 86.45
    BoundaryFace  99.37 94.32 94.99 93.15 89.27 98.12 85.97 93.75 89.73 87.12
For ArcFace: --config.head.rule=none --config.head.penalty=none
"""

import ml_collections

from bfjax import defaults


def get_config() -> ml_collections.ConfigDict:
  """The defaults are this recipe."""
  return defaults.get_config()

"""MS1M (99,848 classes, very noisy), IR-50 on 8 GPUs, BoundaryF1.

Command:
  python -m bfjax.main --config=configs/ms1m.py --workdir=DIR \
    --config.data.root=IMAGES --config.data.list=LIST --config.eval.root=SETS

Hardware: as configs/ms1mv2.py.
To expect: 24 epochs. Not trained by us yet. Published (Wu and Xue, ECCV 2022,
  PyTorch), MegaFace rank-1 and IJB-C at FAR 1e-4:
    ArcFace                    96.45 91.65
    MV-Arc-Softmax             96.86 91.47
    CurricularFace             95.82 90.78
    BoundaryFace, lambda = 0   97.57 91.74
    BoundaryFace, lambda = pi  97.53 30.14
  On labels as noisy as these lambda = pi does harm (IJB-C 30.14; CFP-FP and
  CPLFW fall first: watch these two), so lambda is 0 here, which is BoundaryF1.
  A smaller one, --config.head.penalty=boundary --config.head.lambda_=0.3, or a
  rising one, --config.head.lambda_schedule="((12, 0.0), (24, 1.0))", is a
  question the authors leave open.
"""

import ml_collections

from bfjax import defaults


def get_config() -> ml_collections.ConfigDict:
  c = defaults.get_ms1m_config()
  c.head.penalty = 'none'
  c.head.lambda_ = 0.0
  return c

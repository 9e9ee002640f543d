"""The demo: BoundaryFace and ours between two bounds, on the built-in faces.

Command:   python -m bfjax.main --config=configs/synthetic.py --workdir=DIR
           --config=configs/synthetic.py:2 for other people, other flips and
           another initialisation (the argument is the seed, 1 by default).
           --config.compare="{}" trains BoundaryFace alone.
Hardware:  2 CPU cores; no data, no GPU.
To expect: four trainings of 15 epochs, on 192 people x 20 images of 48 x 48
  pixels with 20 % of the labels flipped: BoundaryFace, the same with the rule
  `posterior` (configs/robust.py) and ArcFace on the noisy labels, and ArcFace
  on the true ones; one to four minutes each.
  Verification on 6,000 pairs of unseen people: README.md has our numbers.
"""

import ml_collections

from bfjax import defaults


def get_config(seed: str = '1') -> ml_collections.ConfigDict:
  """The config; the argument is told above."""
  c = defaults.get_config()
  c.seed = int(seed)
  c.epochs = 15
  c.batch = 128
  c.log_every_steps = 20

  c.data.unlock()
  c.data.source = 'synthetic'
  c.data.seed = int(seed)  # of the people
  c.data.identities = 192
  c.data.images_per_identity = 20
  c.data.image_size = 48
  c.data.difficulty = 'normal'  # or 'hard'; of the pairs, see below
  c.data.flip_rate = 0.2  # of the labels
  c.data.stranger_rate = 0.0  # of the images: nobody of the people
  c.data.noise_seed = int(seed)
  c.data.cache_dir = ''  # of the rendered images; empty: the user's cache
  c.data.labels = 'given'
  c.data.flip = True
  c.data.on_error = 'error'
  c.data.threads = 0

  c.backbone.widths = (32, 32, 64, 128)
  c.backbone.blocks = (1, 1, 1)
  c.backbone.stem_stride = 2
  c.backbone.embedding_dim = 128
  c.backbone.dropout = 0.0

  c.head.epoch_start = 4
  c.head.penalty = 'boundary'

  c.optim.lr = 0.05
  c.optim.lr_batch = 128
  c.optim.warmup_epochs = 2.0
  c.optim.milestones = (9, 13, 15)

  c.eval.every_epochs = 5
  c.eval.benchmarks = ('unseen',)
  c.benchmarks.unseen = ml_collections.ConfigDict(
    {
      'kind': 'synthetic_pairs',
      'seed': int(seed),
      'num_pairs': 6000,
      'image_size': 48,
      'difficulty': 'normal',
      'cache_dir': '',
      'protocols': ('boundaryface',),
    }
  )
  c.checkpoint.best_metric = 'unseen/boundaryface/accuracy'

  nothing = {'rule': 'none', 'penalty': 'none'}
  c.compare = ml_collections.ConfigDict(
    {
      'boundaryface': {},
      'posterior': {'head': {'rule': 'posterior'}},
      'arcface': {'head': nothing},
      'arcface_true_labels': {'head': nothing, 'data': {'labels': 'true'}},
    }
  )
  return c

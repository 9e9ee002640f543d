"""Your own images, 1,000 to 100,000 of them, on a CPU or a GPU: a small net.

Command:
  python -m bfjax.main --config=configs/small.py:7500 --workdir=DIR \
    --config.data.root=IMAGES --config.data.list=LIST

The argument is the number of images, 10,000 by default: batch, epochs and
milestones follow from it. `python tools/info.py --root IMAGES LIST` prints this
command for your images, and how long it takes. Without LIST every folder in
IMAGES is a person. With --config.data.truth=FLIPS, the images whose label is
known to be wrong with their true one, precision and recall of the corrections
are measured.

Pairs of your own, `left right 1` for one person and `left right 0` for two or a
list in LFW's format, are evaluated on while it trains with
  --config.eval.benchmarks="('own',)" --config.benchmarks.own.root=IMAGES \
  --config.benchmarks.own.pairs=PAIRS

Hardware: 2 CPU cores or a GPU. The net and the 48 pixels are those of
  configs/synthetic.py; images of other sizes are resized.
The head is BoundaryFace without its penalty (BoundaryF1): with the penalty,
  --config.head.penalty=boundary, training can collapse where more than a
  quarter of the labels are wrong, and little is won where fewer are.
  ArcFace: --config.head.rule=none
To expect: verification on 3,000 pairs of 100 unseen people, precision and
  recall of the corrections, all in per cent, with 20 % of the labels flipped;
  faces of tools/make_faces.py (--seed 12 and 11 in the first two lines), one
  training each, 2 CPU cores:
    images (people)   ArcFace   here                with the penalty
     1,000 (50)       83.8      90.0; 97 / 77       91.8; 95 / 78
     7,500 (250)      95.0      97.6; 98 / 96       97.7; 98 / 95
    20,000 (500)                98.2; 99 / 98
"""

import ml_collections

from bfjax import defaults, errors


def get_config(images: str = '10000') -> ml_collections.ConfigDict:
  """The recipe for so many images.

  Raises:
    UserError: if `images` is no number.
  """
  if not images.isdecimal() or int(images) < 1:
    raise errors.UserError(
      f'configs/small.py:{images}: expected the number of images to train on,'
      ' such as configs/small.py:7500.'
    )
  num_images = int(images)
  c = defaults.get_config()
  # As in the demo about 30 updates an epoch or more, and 960 in all or more:
  # of smaller batches where there are few images, in 30 epochs at most, beyond
  # which wrong labels are learned by heart.
  c.batch = 128 if num_images >= 3840 else 64 if num_images >= 1920 else 32
  c.batch = min(c.batch, num_images)
  updates_per_epoch = -(-num_images // c.batch)
  c.epochs = min(max(round(960 / updates_per_epoch), 16), 30)
  c.log_every_steps = 20

  c.data.image_size = 48

  c.backbone.widths = (32, 32, 64, 128)
  c.backbone.blocks = (1, 1, 1)
  c.backbone.stem_stride = 2
  c.backbone.embedding_dim = 128
  c.backbone.dropout = 0.0

  c.head.m = 0.3
  # However long the run, wrong labels are learned by heart in the epochs after.
  c.head.epoch_start = 5
  c.head.penalty = 'none'

  c.optim.lr = 0.05
  c.optim.lr_batch = 128
  c.optim.warmup_epochs = 0.5
  c.optim.milestones = tuple(round(c.epochs * x / 16) for x in (10, 14, 16))
  return c

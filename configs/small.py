"""Your own images, 1,000 to 100,000 of them, on a CPU or a GPU: a small net."""

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
  c.batch = 128 if num_images >= 3840 else 64 if num_images >= 1920 else 32
  c.batch = min(c.batch, num_images)
  steps = -(-num_images // c.batch)
  c.epochs = min(max(round(960 / steps), 16), 30)
  c.log_every_steps = 20

  c.data.image_size = 48

  c.backbone.widths = (32, 32, 64, 128)
  c.backbone.blocks = (1, 1, 1)
  c.backbone.stem_stride = 2
  c.backbone.embedding_dim = 128
  c.backbone.dropout = 0.0

  c.head.m = 0.3
  c.head.epoch_start = 5
  c.head.penalty = 'none'

  c.optim.lr = 0.05
  c.optim.lr_batch = 128
  c.optim.warmup_epochs = 0.5
  c.optim.milestones = tuple(round(c.epochs * x / 16) for x in (10, 14, 16))
  return c

"""A run small enough for tests: faces of 16 pixels, a net of two blocks."""

from bfjax import defaults


def config(cache_dir, **changes):
  """Returns the config of a run of 2 x 8 steps with every part in it."""
  c = defaults.get_config()
  c.epochs = 2
  c.batch = 16
  c.log_every_steps = 3
  c.data.unlock()
  c.data.update(
    {
      'source': 'synthetic',
      'identities': 10,
      'images_per_identity': 12,
      'image_size': 16,
      'flip_rate': 0.25,
      'cache_dir': str(cache_dir),
      'threads': 1,
    }
  )
  c.backbone.widths = (8, 8, 16)
  c.backbone.blocks = (1, 1)
  c.backbone.stem_stride = 2
  c.backbone.embedding_dim = 8
  c.backbone.batch_norm_rows = 2
  c.head.epoch_start = 1
  c.optim.lr = 0.02
  c.optim.milestones = (2,)
  c.eval.every_epochs = 1
  c.eval.batch = 32
  c.eval.benchmarks = ('unseen',)
  c.benchmarks.unseen = {
    'kind': 'synthetic_pairs',
    'identities': 20,
    'images_per_identity': 4,
    'num_pairs': 60,
    'image_size': 16,
    'cache_dir': str(cache_dir),
    'protocols': ('boundaryface',),
  }
  c.checkpoint.best_metric = 'unseen/boundaryface/accuracy'
  c.update(changes)
  return c

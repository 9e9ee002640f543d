"""The default config: every key there is, with what it means.

A config file starts from `get_config()` and changes what its recipe needs. On
the command line, `--config.head.m=0.3` changes one value of it. Epochs are
counted from 1 wherever a key names one.
"""

import math
import os

import ml_collections
from ml_collections import config_dict

from bfjax import errors, plugins, text
from bfjax.config import settings

FIELD_SETS = (
  'lfw',
  'agedb_30',
  'cfp_fp',
  'calfw',
  'cplfw',
  'sllfw',
  'rfw_asian',
  'rfw_caucasian',
  'rfw_indian',
  'rfw_african',
)


def get_config() -> ml_collections.ConfigDict:
  """BoundaryFace with an IR-50 on an image list, as published on CASIA."""
  c = ml_collections.ConfigDict()
  c.seed = 0
  c.epochs = 30
  c.batch = 64  # rows a micro-batch, over all devices
  c.accumulate = 1  # micro-batches an update
  c.log_every_steps = 100  # of each epoch; its last step has a line too

  # Or (10, 15): updates that are traced, for XProf and Perfetto, into
  # `profile` in the workdir.
  c.profile_steps = ()

  c.on_collapse = 'warn'  # a training that collapses goes on; or 'stop'

  none = config_dict.placeholder  # a key that may be None, of this type

  c.data = d = ml_collections.ConfigDict()
  d.source = 'imagelist'  # a file of bfjax/data/sources
  d.root = ''  # the folder of the images
  d.labels = 'given'  # or 'true' ones; 'right': rows alone that are right
  d.image_size = 112  # pixels of a side; other sizes and shapes are stretched
  d.input_scaling = (127.5, 127.5)  # m, d: the net takes (pixel - m) / d
  d.flip = True  # mirror images with probability 1/2
  d.on_error = 'error'  # an unreadable image: 'error' or 'skip'
  # Share of images; more are taken for an outage, but 100 never are, even of
  # a set that has no more.
  d.max_skipped = 0.1
  d.threads = 0  # that decode; 0: as many as pay
  d.augment = a = ml_collections.ConfigDict()  # probabilities; 0: never
  a.crop = 0.0  # the first three are AdaFace's, 0.2 each in its recipe
  a.low_res = 0.0
  a.photometric = 0.0  # brightness, contrast and saturation
  a.jitter = 0.0  # the same and hue
  a.grey = 0.0
  a.blur = 0.0
  a.cutout = 0.0
  # And what the sources have, `list`, `truth`, ...: each is told in the `build`
  # of the source. To set one that another source alone has is an error.
  _add_options(d, settings.SOURCES)

  c.backbone = b = ml_collections.ConfigDict()
  b.name = 'iresnet'  # a file of bfjax/backbones
  # And what the backbones have, each told in the `build` of the backbone, which
  # None leaves as it is there. To set one that it does not have is an error.
  _add_options(b, settings.BACKBONES, unset=True)

  c.head = h = ml_collections.ConfigDict()
  h.margin = 'arcface'  # see heads/margins.py
  h.filter = 0.0  # other classes with a larger cosine do not count; 0: none
  h.rule = 'boundary'  # 'none', 'posterior', 'repface': heads/rules.py
  h.penalty = 'boundary'  # 'none' or 'boundary'
  h.s = 32.0  # scale of the logits
  h.m = 0.5  # margin, of all margins but 'combined'; radians
  h.m1, h.m2, h.m3 = 1.0, 0.3, 0.2  # of 'combined'
  h.t = 0.2  # of 'mv_arc_softmax'
  h.t_alpha = 0.01  # of 'curricularface' and 'adaface'
  h.h = 0.333  # of 'adaface'
  # Of the rule 'boundary', apart from m: an angle, or pairs (epoch, angle)
  # joined linearly; None: the margin's.
  h.rule_margin = none(object)
  h.visits = 1  # in a row that must agree for a label to change, and return
  h.epoch_start = 7  # labels are corrected in later epochs than this
  h.penalty_start = none(float)  # the penalty likewise; None: epoch_start
  h.lambda_ = math.pi  # weight of the penalty
  h.lambda_schedule = ()  # or pairs (epoch, lambda), joined linearly
  h.sub_centres = 1  # of a class, K; 3 in Sub-center ArcFace
  # The minor ones and rows far from the others are dropped in later epochs than
  # this; None: never.
  h.drop_start = none(float)
  h.drop_angle = math.radians(75)  # how far
  # Classes whose cosines with a batch a device has at once, and computes twice;
  # 0: all that it holds, once.
  h.chunk_classes = 0
  h.precision = 'float32'  # of its products; or 'tf32', 'bfloat16'
  # Partial FC: the part of the classes that a step's loss is of; 1: all.
  h.sample_rate = 1.0
  h.sample_rule = 'all'  # classes that the rule then sees; or the 'sampled'
  h.centres_init = 'xavier'  # or 'normal', CurricularFace's

  c.labels = ml_collections.ConfigDict()
  c.labels.carry = 'visit'  # or 'persist': corrections last to the next visit
  c.labels.history = True  # 6 bytes a row, for logs and pictures: `labels.Past`

  c.optim = o = ml_collections.ConfigDict()
  o.lr = 0.1  # at a batch of `lr_batch`; scaled linearly
  o.lr_batch = 64
  o.schedule = 'multistep'  # or 'polynomial', 'cosine', 'constant'
  # Of 'multistep': epochs whose start drops the rate.
  o.milestones = (6, 12, 19)
  o.factor = 0.1  # of 'multistep': what a drop multiplies by
  o.power = 2.0  # of 'polynomial'
  o.warmup_epochs = 0.0
  o.momentum = 0.9
  o.nesterov = True
  o.momentum_dtype = 'float32'  # what it is kept in; or 'bfloat16'
  o.weight_decay = 5e-4
  o.clip_norm = 0.0  # of the whole gradient; 0: no clipping

  c.eval = e = ml_collections.ConfigDict()
  # 0: as often as it costs less than 2 % of the time, once for every 100
  # images trained on for each image embedded; and at the end.
  e.every_epochs = 0
  e.batch = 256
  e.root = ''  # the folder of the field's sets; empty: none of them is run
  e.field_sets = FIELD_SETS  # in it: ROOT/lfw/pairs.txt, ...
  e.optional = False  # whether sets that are not there are just reported
  e.benchmarks = ()  # others to run, from `benchmarks`: ('own',)
  e.checkpoint = 'last'  # for --mode=eval: 'last', 'best' or a step number

  c.benchmarks = ml_collections.ConfigDict()
  # Any pair list of yours.
  c.benchmarks.own = ml_collections.ConfigDict(
    {
      'kind': 'pairs',  # a file of bfjax/evaluation/benchmarks
      'root': '',  # the folder of the images
      'pairs': 'pairs.txt',  # the list, in that folder or an absolute path
      'format': 'auto',  # lfw, rfw, flags
      'suffix': '.jpg',  # of the images that lfw and rfw name by number
      'folds': 10,
      'protocols': ('boundaryface', 'insightface'),
      'optional': False,  # if it is not there: reported as absent, no error
    }
  )

  c.checkpoint = k = ml_collections.ConfigDict()
  k.every_epochs = 1
  k.every_steps = 0  # more often than that; 0: no
  k.max_to_keep = 2
  k.best_metric = ''  # keep the best by this score, 'lfw/boundaryface/accuracy'

  c.init_from = ''  # a model folder or a run's workdir; empty: at random
  c.init_step = 'last'  # of that run: 'last', 'best' or a step number
  c.init_backbone = True  # whether its backbone is taken
  c.init_centres = 'none'  # its class centres: 'none', 'all' or 'by_name'
  c.init_renamed = ''  # for 'by_name': lines `name here<TAB>name there`
  c.freeze = ''  # leave 'backbone' or 'centres' as they are

  # Several runs in one command, in this order: name -> what differs from this
  # config. --config.compare="{}" makes it one run, of this config itself.
  c.compare = ml_collections.ConfigDict()
  c.cache_dir = config_dict.placeholder(str)  # of compiled steps; '': none
  return c


def _add_options(group, package, unset=False):
  """Adds the options of all parts in a package that the group lacks."""
  for part in plugins.names(package):
    for name, option in plugins.options('part', package, part).items():
      if name in group or name == 'image_size':
        continue
      if unset or option.default is option.empty:
        group[name] = config_dict.placeholder(option.annotation)
      else:
        group[name] = option.default


def get_ms1m_config() -> ml_collections.ConfigDict:
  """The published recipe for MS1M and MS1MV2: 8 x 32 rows, 24 epochs.

  The reference counts epochs from 0 here, corrects once epoch > 10 and drops
  the rate at 10, 18 and 22; we count from 1.
  """
  c = get_config()
  c.epochs = 24
  c.batch = 256
  c.backbone.batch_norm_rows = 32
  c.head.epoch_start = 11
  c.optim.lr_batch = 256
  c.optim.milestones = (11, 19, 23)
  return c


def read_config(path: str | os.PathLike) -> ml_collections.ConfigDict:
  """The config that a run has written down, in its config.json.

  Raises:
    UserError: if the file cannot be read, or is none.
  """
  written = text.read_json(path)
  if not isinstance(written, dict):
    raise errors.UserError(f'{path} is not the config of a run.')
  return ml_collections.ConfigDict(written)

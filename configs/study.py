"""The study: every method on every mix of noise, several seeds each.

Command:   python tools/study.py --config=configs/study.py:PART --workdir=DIR
PART is one of
  claims   (the default) ArcFace, BoundaryF1, BoundaryFace, ours and ArcFace on
           true labels; seeds 1, 2, 3
  methods  all the others; seed 1
  lambda   what the weight of the penalty does, with the rule `boundary`, and
           with `posterior`, by which unsure rows count less; seed 1
  casia:ROOT  the tables of the BoundaryFace paper, for those who have
           CASIA-WebFace: see `_casia`
docs/study.md tells more, and what came out.
Hardware:  2 CPU cores, no data, for the first three; two to three minutes a
  training of one core. 'casia': a GPU of 12 GB, 213,000 steps a training.

The first three train what configs/synthetic.py trains, on mixes of closed-set
noise (labels flipped, 'closed20': a fifth of them) and open-set noise (images
of nobody, 'c20o20': a fifth of each), on its images and on `hard` ones, whose
mixes are called 'hard-closed20', .... The pairs to verify are those of
configs/synthetic.py in both.
"""

import math
import os

import ml_collections

from bfjax import errors

# What configs/robust.py changes.
OURS = {'head': {'rule': 'posterior'}}

_NOTHING = {'rule': 'none', 'penalty': 'none'}
_ARCFACE = {'head': _NOTHING}
# method -> what it is called, and what differs from BoundaryFace; a new method
# is a line of one of the two.
_CLAIMS = {
  'arcface': ('ArcFace', _ARCFACE),
  'boundaryf1': ('BoundaryF1', {'head': {'penalty': 'none'}}),
  'boundaryface': ('BoundaryFace', {}),
  'ours': ('ours', OURS),
}
_METHODS = {
  'mv_arc_softmax': (
    'MV-Arc-Softmax',
    {'head': {**_NOTHING, 'margin': 'mv_arc_softmax'}},
  ),
  'curricularface': (
    'CurricularFace',
    {
      'head': {
        **_NOTHING,
        'margin': 'curricularface',
        'centres_init': 'normal',
      }
    },
  ),
  'adaface': (
    'AdaFace',
    {'head': {**_NOTHING, 'margin': 'adaface', 'm': 0.4}},
  ),
  'sub_centres': (
    'Sub-center ArcFace',
    {'head': {**_NOTHING, 'sub_centres': 3, 'drop_start': 9.0}},
  ),
  'filter': ('ArcFace, filter', {'head': {**_NOTHING, 'filter': 0.4}}),
  'repface': (
    'RepFace, as we read it',
    {'head': {'rule': 'repface', 'penalty': 'none'}},
  ),
}
_TRUE_LABELS = 'ArcFace, true labels'
_RIGHT_ROWS = 'ArcFace, right rows only'

# mix -> share of labels flipped, share of images of nobody
_MIXES = {
  'clean': (0.0, 0.0),
  'closed10': (0.1, 0.0),
  'closed20': (0.2, 0.0),
  'closed30': (0.3, 0.0),
  'closed40': (0.4, 0.0),
  'c20o20': (0.2, 0.2),
  'c10o30': (0.1, 0.3),
  'c30o10': (0.3, 0.1),
}
_DIFFICULTIES = {'normal': '', 'hard': 'hard-'}


def get_config(text: str = 'claims') -> ml_collections.ConfigDict:
  """The part of the study that `text` names.

  Raises:
    UserError: if there is no such part.
  """
  part, _, root = text.partition(':')
  parts = {
    'claims': _claims,
    'methods': _methods,
    'lambda': _lambda,
    'casia': lambda: _casia(root),
  }
  return errors.choose('part of the study', part, parts)()


def _claims():
  c = _on_built_in_faces(seeds=(1, 2, 3))
  _add_methods(c, _CLAIMS)
  c.methods.true_labels = _TRUE_LABELS
  for mix, noise in c.mixes.items():
    # Without strangers this is the clean mix, whatever was flipped.
    data = {'labels': 'true'} if noise.open else {'flip_rate': 0.0}
    c.cells[mix].true_labels = {**_ARCFACE, 'data': data}
  return c


def _methods():
  c = _on_built_in_faces(seeds=(1,))
  _add_methods(c, _METHODS)
  c.methods.right_rows = _RIGHT_ROWS
  for mix, noise in c.mixes.items():
    data = {'labels': 'right'} if noise.closed or noise.open else {}
    c.cells[mix].right_rows = {**_ARCFACE, 'data': data}
  return c


def _lambda():
  c = _on_built_in_faces(seeds=(1,))
  mixes = 'closed20', 'closed40', 'hard-closed30', 'c20o20'
  c.mixes = {mix: c.mixes[mix] for mix in mixes}
  c.cells = {mix: {} for mix in mixes}
  weights = {
    '0': {'penalty': 'none'},
    '1': {'lambda_': 1.0},
    'pi': {'lambda_': math.pi},
  }
  methods = {
    f'{rule}_lambda_{weight}': (
      f'{rule}, lambda = {weight}',
      {'head': {'rule': rule, **of_weight}},
    )
    for rule in ('boundary', 'posterior')
    for weight, of_weight in weights.items()
  }
  _add_methods(c, methods)
  return c


def _casia(root):
  """CASIA-WebFace; ROOT holds all of it, under these names.

  images/              the aligned images
  lists/clean.txt      lines `path  label`
  lists/MIX.txt        the list with the noise of MIX: closed10, closed20,
  lists/MIX-flips.txt  closed30, c20o20, c10o30, c30o10, and its flips, by
                       tools/flip_labels.py, of mixes with open-set noise
                       then by tools/add_outliers.py, which writes
  lists/MIX-outliers.txt  as well
  evaluation/          lfw, agedb_30, ...: see docs/evaluation.md
  """
  if not os.path.isdir(root):
    raise errors.UserError(
      f'casia:{root}: expected the folder of images, lists and evaluation sets,'
      ' as configs/study.py:casia:ROOT.'
    )
  c = _study('CASIA-WebFace', base='configs/casia_noisy.py:{mix}', seeds=(1,))
  c.every = {
    'data': {'root': f'{root}/images'},
    'eval': {'root': f'{root}/evaluation'},
  }
  c.remove = ('tensorboard',)
  for mix, (closed, strangers) in _MIXES.items():
    if mix in ('clean', 'closed40'):
      continue
    lists = f'{root}/lists/{mix}'
    data = {'list': f'{lists}.txt', 'truth': f'{lists}-flips.txt'}
    if strangers:
      data['outliers'] = f'{lists}-outliers.txt'
    _add_mix(c, mix, 'CASIA-WebFace', closed, strangers, {'data': data})
  bounds = {
    f'{labels}_{what}': (title, {**_ARCFACE, 'data': {'labels': labels}})
    for labels, what, title in (
      ('true', 'labels', _TRUE_LABELS),
      ('right', 'rows', _RIGHT_ROWS),
    )
  }
  _add_methods(c, {**_CLAIMS, **_METHODS, **bounds})
  for mix in c.mixes:
    c.cells[mix].sub_centres.head.drop_start = 12.0  # at a drop of the rate
  return c


def _on_built_in_faces(seeds):
  c = _study(
    'The built-in faces', base='configs/synthetic.py:{seed}', seeds=seeds
  )
  c.every = {'checkpoint': {'every_epochs': 5}, 'eval': {'every_epochs': 15}}
  for difficulty, prefix in _DIFFICULTIES.items():
    for mix, (closed, strangers) in _MIXES.items():
      data = {
        'difficulty': difficulty,
        'flip_rate': closed,
        'stranger_rate': strangers,
      }
      name = f'{prefix}{mix}'
      _add_mix(c, name, difficulty, closed, strangers, {'data': data})
  return c


def _study(title, base, seeds):
  c = ml_collections.ConfigDict()
  c.title = title
  c.base = base  # the config of a training; with {seed} and {mix}, if it likes
  c.seeds = seeds
  c.every = {}  # what differs from the base in all of them, nested as it is
  # mix -> the set it is of, its noise, and what differs from the base
  c.mixes = ml_collections.ConfigDict()
  c.methods = ml_collections.ConfigDict()  # method -> its name in tables
  # mix -> method -> what differs in this cell, beside that
  c.cells = ml_collections.ConfigDict()
  c.protocol = 'boundaryface'  # whose accuracies are compared
  # Pairs of methods whose difference, seed by seed, has a table.
  c.compare = (
    ('ours', 'boundaryface'),
    ('ours', 'arcface'),
    ('ours', 'true_labels'),
  )
  # What is not kept of a finished training.
  c.remove = ('checkpoints', 'tensorboard', 'corrections/*.png')
  return c


def _add_mix(c, mix, of_set, closed, strangers, changes):
  noise = {'set': of_set, 'closed': closed, 'open': strangers}
  c.mixes[mix] = {**noise, 'changes': changes}
  c.cells[mix] = {}


def _add_methods(c, methods):
  for method, (title, changes) in methods.items():
    c.methods[method] = title
    for mix in c.mixes:
      c.cells[mix][method] = changes

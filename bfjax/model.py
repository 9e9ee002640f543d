"""Trained models on disk: the folder of a converted one, or a run's workdir.

A model folder holds

    model.json    what the model is: backbone and its options, image size,
                  colour order, input scaling, embedding dimension, source
    arrays/       Orbax: `params` (`backbone` and, where known, `centres`) and
                  `stats`, as in the state of a run
    classes.tsv   `class<TAB>name`, where the names of the classes are known
    sha256sums    the digests of these, see `digests`

`load_model` reads that and the workdir of a run alike, so whoever has one of
them needs no config to embed images as the model was trained to.
"""

import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bfjax import atomic, backbones, errors, scalings
from bfjax.data import labelled
from bfjax.storage import arrays, digests, diskerrors, wholeness

FORMAT = 'bfjax-model'
VERSION = 1


class Model(NamedTuple):
  """A trained model and what it takes to use it.

  Attributes:
    backbone: its pure functions.
    params: nested dict of float32 arrays, on the host.
    stats: the running statistics, likewise.
    scale: uint8 images [n, h, w, 3] in RGB -> what `backbone.apply` takes.
    image_size: pixels of a side.
    centres: float32 [num_classes, embedding_dim], or None; of a run with
      sub-centres that of each class which most rows were nearest to.
    class_names: of each centre, or None.
    description: what model.json says; of a run, the same keys.
  """

  backbone: backbones.Backbone
  params: Any
  stats: Any
  scale: Callable
  image_size: int
  centres: np.ndarray | None
  class_names: Sequence[str] | None
  description: Mapping[str, Any]


def describe(
  *,
  backbone: Mapping[str, Any],
  image_size: int,
  scaling: scalings.Scaling = scalings.STANDARD,
  embedding_dim: int,
  num_classes: int | None,
  source: Mapping[str, Any],
) -> dict[str, Any]:
  """What model.json says.

  Args:
    backbone: 'name' and its options, but for the image size.
    image_size: pixels of a side.
    scaling: of the pixels.
    embedding_dim: length of an embedding.
    num_classes: of the centres; None without them.
    source: what the model was made from; JSON values.
  """
  return {
    'format': FORMAT,
    'version': VERSION,
    'backbone': dict(backbone),
    'image_size': image_size,
    'colour_order': 'RGB',
    'input_scaling': {'formula': scaling.formula, **scaling._asdict()},
    'embedding_dim': embedding_dim,
    'num_classes': num_classes,
    'source': dict(source),
  }


def scaling_of(description: Mapping[str, Any]) -> scalings.Scaling:
  """The scaling that a description names."""
  scaling = description['input_scaling']
  return scalings.Scaling(float(scaling['mean']), float(scaling['std']))


def build_backbone(description: Mapping[str, Any]) -> backbones.Backbone:
  """The backbone that a description names.

  Raises:
    UserError: if there is no such backbone, or it has no such option.
  """
  options = {k: _tuples(v) for k, v in description['backbone'].items()}
  return backbones.build(**options, image_size=description['image_size'])


def save_model(
  path: str | os.PathLike,
  description: Mapping[str, Any],
  params,
  stats,
  *,
  centres: np.ndarray | None = None,
  class_names: Sequence[str] | None = None,
) -> None:
  """Writes a model folder, whole or not at all.

  Args:
    path: a new or an empty folder.
    description: from `describe`; the number of classes is that of the centres.
    params: of the backbone.
    stats: its running statistics.
    centres: float32 [num_classes, embedding_dim].
    class_names: of each centre.

  Raises:
    UserError: if the folder is not empty or cannot be written to.
  """
  path = pathlib.Path(path)
  check_free(path)
  state = {'params': {'backbone': params}, 'stats': stats}
  num_classes = None
  if centres is not None:
    state['params']['centres'] = centres
    num_classes = len(centres)
  with (
    diskerrors.writing_to(path.parent, also=(ValueError,)),  # of TensorStore
    atomic.writing_folder(path) as draft,
  ):
    arrays.save(draft / 'arrays', jax.device_get(state))
    if class_names is not None:
      labelled.save_class_names(draft / 'classes.tsv', class_names)
    written = {**description, 'num_classes': num_classes}
    text = json.dumps(written, indent=2)
    atomic.write_text(draft / 'model.json', text + '\n')
    digests.write(draft)


def check_free(path: pathlib.Path) -> None:
  """Raises UserError if a model cannot become `path`: something is there."""
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    raise errors.UserError(
      f'{path} is there already and not an empty folder. Give a new one.'
    )


def load_model(
  path: str | os.PathLike, step: str = 'last', *, with_centres: bool = True
) -> Model:
  """Reads a model folder, or a checkpoint of the run in a workdir.

  Args:
    path: of either.
    step: which checkpoint of a run: 'last', 'best' (by the run's own
      `checkpoint.best_metric`) or a step number. A model folder holds one
      model, and 'last' and 'best' are both that.
    with_centres: whether to read the class centres and their names.

  Raises:
    UserError: if there is neither, no such step, or its files are damaged or
      do not fit together.
  """
  path = pathlib.Path(path)
  if (path / 'model.json').exists():
    if step not in ('last', 'best'):
      raise errors.UserError(
        f'{path} holds a model, not a run: it has no step {step!r}.'
      )
    description = _read_description(path / 'model.json')
    wholeness.check(path, 'Convert or copy the model again.')
    folder, sub_centres = path / 'arrays', 1
  elif (path / 'run.json').exists():
    description, folder, sub_centres = _open_run(path, str(step))
  else:
    raise errors.UserError(
      f'{path} holds no model: there is neither a model.json (a converted'
      ' model) nor a run.json (the workdir of a run).'
    )
  backbone = build_backbone(description)
  params, stats = jax.eval_shape(backbone.init, jax.random.key(0))
  num_classes = description['num_classes'] if with_centres else None
  params, stats, centres = _read(
    folder, params, stats, 0 if num_classes is None else sub_centres
  )
  names = path / 'classes.tsv'
  return Model(
    backbone=backbone,
    params=params,
    stats=stats,
    scale=scaling_of(description),
    image_size=description['image_size'],
    centres=None if centres is None else centres[:num_classes],
    class_names=(
      None
      if centres is None or not names.exists()
      else labelled.read_class_names(names)
    ),
    description=description,
  )


def _read_json(path):
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise errors.UserError(f'{path} cannot be read: {error}.') from error


_KEYS = ('backbone', 'image_size', 'input_scaling', 'num_classes')


def _read_description(path):
  description = _read_json(path)
  if not isinstance(description, dict) or description.get('format') != FORMAT:
    raise errors.UserError(f'{path} is not the description of a model.')
  if description.get('version') != VERSION:
    raise errors.UserError(
      f'{path} has version {description.get("version")!r}; this program reads'
      f' version {VERSION}.'
    )
  missing = [key for key in _KEYS if key not in description]
  if missing:
    raise errors.UserError(f'{path} lacks {", ".join(missing)}.')
  return description


def _open_run(path, step):
  """A run's checkpoint: description, folder of its state, centres a class."""
  settings = path / 'config.json'
  best_metric = ''
  if step == 'best' and settings.exists():
    best_metric = _read_json(settings)['checkpoint']['best_metric']
  done = wholeness.choose_step(path, step, best_metric)
  folder = wholeness.folder_of(path, done)
  fixed = _read_json(folder / 'record' / 'metadata')['fixed']
  backbone = {
    name.removeprefix('backbone.'): value
    for name, value in fixed.items()
    if name.startswith('backbone.')
  }
  description = describe(
    backbone=backbone,
    image_size=fixed['data.image_size'],
    scaling=scalings.from_config(
      fixed.get('data.input_scaling', scalings.STANDARD)
    ),
    embedding_dim=backbone['embedding_dim'],
    num_classes=fixed['number of classes'],
    source={'workdir': str(path), 'step': done},
  )
  return description, folder / 'state', fixed.get('head.sub_centres', 1)


def _read(folder, params, stats, of_class):
  """Reads (params, stats, centres or None), once the names are right.

  Args:
    folder: of the arrays.
    params: shapes of the backbone's.
    stats: likewise.
    of_class: how many centres a class has there; 0: they are not read.
  """
  saved = arrays.saved(folder)
  found = saved.get('params', {})
  arrays.check_same_shapes(
    {'params': found.get('backbone', {}), 'stats': saved.get('stats', {})},
    {'params': params, 'stats': stats},
    str(folder),
  )
  like = {'params': {'backbone': params}, 'stats': stats}
  if of_class:
    if 'centres' not in found:
      raise errors.UserError(f'{folder} holds no class centres.')
    like['params']['centres'] = found['centres']
  if of_class > 1:
    use = saved['head_state']['sub_centre_use']
    like['head_state'] = {'sub_centre_use': use}
  state = arrays.read(folder, like)
  params, centres = state['params'], state['params'].get('centres')
  if of_class > 1:
    use = state['head_state']['sub_centre_use'].reshape(-1, of_class)
    each = centres.reshape(*use.shape, -1)
    centres = each[np.arange(len(use)), use.argmax(1)]
  return params['backbone'], state['stats'], centres


def _tuples(value):
  """JSON's lists as the tuples that options are."""
  return tuple(map(_tuples, value)) if isinstance(value, list) else value

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
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bfjax import atomic, backbones, errors, modelcard, scalings, text
from bfjax.data import labelled
from bfjax.storage import arrays, digests, diskerrors, wholeness


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
  scale: scalings.Scaling
  image_size: int
  centres: np.ndarray | None
  class_names: Sequence[str] | None
  description: Mapping[str, Any]


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
    description: see `modelcard`; its number of classes is set to the centres'.
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
  written = {**description, 'num_classes': None}
  if centres is not None:
    state['params']['centres'] = centres
    written['num_classes'] = len(centres)
  with (
    diskerrors.writing_to(path.parent, also=(ValueError,)),  # of TensorStore
    atomic.writing_folder(path) as draft,
  ):
    arrays.save(draft / 'arrays', jax.device_get(state))
    if class_names is not None:
      labelled.save_class_names(draft / 'classes.tsv', class_names)
    atomic.write_text(
      draft / 'model.json', json.dumps(written, indent=2) + '\n'
    )
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
    description = modelcard.read(path / 'model.json')
    wholeness.check(path, 'Convert or copy the model again.')
    folder, centres_each = path / 'arrays', 1
  elif (path / 'run.json').exists():
    description, folder, centres_each = _open_run(path, str(step))
  else:
    raise errors.UserError(
      f'{path} holds no model: there is neither a model.json (a converted'
      ' model) nor a run.json (the workdir of a run).'
    )
  if not with_centres or description['num_classes'] is None:
    centres_each = 0
  backbone = modelcard.build_backbone(description)
  like = jax.eval_shape(backbone.init, jax.random.key(0))
  params, stats, centres = _read(folder, like, centres_each)
  class_names, names = None, path / 'classes.tsv'
  if centres is not None:
    centres = centres[: description['num_classes']]
    if names.exists():
      class_names = labelled.read_class_names(names)
  scaling = description['input_scaling']
  return Model(
    backbone=backbone,
    params=params,
    stats=stats,
    scale=scalings.Scaling(float(scaling['mean']), float(scaling['std'])),
    image_size=description['image_size'],
    centres=centres,
    class_names=class_names,
    description=description,
  )


def _open_run(path, step):
  """A run's checkpoint: description, folder of its state, centres a class."""
  best_metric, settings = '', path / 'config.json'
  if step == 'best' and settings.exists():
    best_metric = text.read_json(settings)['checkpoint']['best_metric']
  done = wholeness.choose_step(path, step, best_metric)
  folder = wholeness.folder_of(path, done)
  fixed = text.read_json(folder / 'record' / 'metadata')['fixed']
  backbone = {
    name.removeprefix('backbone.'): value
    for name, value in fixed.items()
    if name.startswith('backbone.')
  }
  scaling = fixed.get('data.input_scaling', scalings.STANDARD)
  description = modelcard.describe(
    backbone=backbone,
    image_size=fixed['data.image_size'],
    scaling=scalings.Scaling(*map(float, scaling)),
    embedding_dim=backbone['embedding_dim'],
    num_classes=fixed['number of classes'],
    source={'workdir': str(path), 'step': done},
  )
  return description, folder / 'state', fixed.get('head.sub_centres', 1)


def _read(folder, start, centres_each):
  """Reads (params, stats, centres or None), once names and shapes are right.

  Of several centres of a class, `centres_each`, the dominant one is read; no
  centre if that is 0.
  """
  saved = arrays.saved(folder)
  found = saved.get('params', {})
  params, stats = start
  like = {'params': {'backbone': params}, 'stats': stats}
  arrays.check_same_shapes(
    {
      'params': {'backbone': found.get('backbone', {})},
      'stats': saved.get('stats', {}),
    },
    like,
    f'The arrays of {folder} do not fit the backbone:',
  )
  if centres_each:
    if 'centres' not in found:
      raise errors.UserError(f'{folder} holds no class centres.')
    like['params']['centres'] = found['centres']
  if centres_each > 1:
    use = saved['head_state']['sub_centre_use']
    like['head_state'] = {'sub_centre_use': use}
  state = arrays.read(folder, like)
  centres = state['params'].get('centres')
  if centres_each > 1:
    use = state['head_state']['sub_centre_use'].reshape(-1, centres_each)
    each = centres.reshape(*use.shape, -1)
    centres = each[np.arange(len(use)), use.argmax(1)]
  return state['params']['backbone'], state['stats'], centres

"""Where a run starts: another model's backbone, and class centres of it.

A run whose config names a model in `init_from` takes its backbone, statistics
included, and, as `init_centres` says, its class centres: of none of its
classes, of all of them in their order, or of those with the same name. The
model is needed at the start alone: a run that goes on has its own checkpoint.
"""

import dataclasses
import functools
import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from bfjax import backbones, errors, model, plugins, scalings, setup, step, text
from bfjax.config import settings
from bfjax.storage import arrays

_log = logging.getLogger(__name__)

# Random images that two backbones are compared on, and how close they must be.
_IMAGES = 2
_TOLERANCE = 1e-4


class Start(NamedTuple):
  """What a run starts from.

  Attributes:
    weights: parameters and running statistics of the backbone, on the host;
      None to leave it as it is drawn.
    centres: float32 [classes that start from a centre, d].
    classes: int32 of these, of this run.
    origin: what the model says of itself; JSON values.
  """

  weights: Any
  centres: np.ndarray
  classes: np.ndarray
  origin: Mapping[str, Any]


def load(config, run: setup.Run) -> Start:
  """Reads the model of `config.init_from` and fits it to the run.

  Raises:
    UserError: if there is no model, its backbone is another one (all names
      and shapes that differ are listed) or takes other images, or its centres
      cannot be had as asked for.
  """
  loaded = model.load_model(
    config.init_from,
    str(config.init_step),
    with_centres=config.init_centres != 'none',
  )
  if config.init_backbone:
    _check_images(loaded, config)
    _check_backbone(loaded, config, run.recipe.backbone)
  theirs, ours = _matched(loaded, config, run)
  _log.info(
    'Starting from %s; %d of %d classes start from a centre of it.',
    *(config.init_from, len(ours), run.source.num_classes),
  )
  return Start(
    weights=(loaded.params, loaded.stats) if config.init_backbone else None,
    centres=loaded.centres[theirs]  # type: ignore[index]
    if len(theirs)
    else np.zeros((0, 0)),
    classes=ours,
    origin={
      'source': loaded.description['source'],
      'backbone': loaded.description['backbone'],
      'classes_with_centres': len(ours),
    },
  )


def _matched(loaded, config, run):
  """Classes of the model, and the same of the data set: int32 [n] each."""
  origin, wanted = config.init_from, config.init_centres
  if wanted == 'none':
    return np.zeros((2, 0), np.int32)
  if loaded.centres is None:
    raise errors.UserError(
      f'init_centres={wanted!r}, but {origin} holds no class centres. Give'
      " init_centres='none'."
    )
  count, dim = loaded.centres.shape
  if dim != run.recipe.backbone.embedding_dim:
    raise errors.UserError(
      f'The class centres of {origin} have {dim} numbers, embeddings of this'
      f' run {run.recipe.backbone.embedding_dim}.'
    )
  names, ours = loaded.class_names, run.source.class_names
  if wanted == 'by_name':
    return _by_name(names, ours, origin, config.init_renamed)
  if count != len(ours):
    raise errors.UserError(
      f"init_centres='all', but {origin} has {count} classes and this data set"
      f" {len(ours)}. Give init_centres='by_name' or 'none'."
    )
  pairs = zip(names or ours, ours, strict=True)
  for index, (there, here) in enumerate(pairs):
    if there != here:
      raise errors.UserError(
        f"init_centres='all', but class {index} is {there!r} in {origin} and"
        f" {here!r} here. Give init_centres='by_name'."
      )
  return np.tile(np.arange(count, dtype=np.int32), (2, 1))


def _by_name(names, ours, origin, renamed):
  """The classes that have the same name, or are renamed in a file."""
  if names is None:
    raise errors.UserError(
      f"init_centres='by_name', but {origin} has no classes.tsv that says the"
      ' names of its classes: lines `class<TAB>name`.'
    )
  other_name = _read_renamed(renamed) if renamed else {}
  theirs = {name: index for index, name in enumerate(names)}
  sought = [other_name.get(here, here) for here in ours]
  pairs = [(theirs[x], index) for index, x in enumerate(sought) if x in theirs]
  if not pairs:
    raise errors.UserError(
      f'No class of this data set ({ours[0]!r}, ...) has a name that {origin}'
      f" knows ({names[0]!r}, ...). Give init_renamed, or init_centres='none'."
    )
  return np.array(pairs, np.int32).T


def _read_renamed(path):
  """Name here -> name there."""
  renamed = {}
  for number, line in text.lines(path, 'the file of init_renamed,'):
    here, tab, there = line.partition('\t')
    if not tab or here in renamed:
      expected = '`name here<TAB>name there`, each name here once'
      raise text.bad_line(path, number, line, expected)
    renamed[here] = there
  return renamed


def note(run: setup.Run, start: Start) -> setup.Run:
  """The run, in whose record is what it starts from."""
  about = {**run.record['about'], 'initialised_from': dict(start.origin)}
  return dataclasses.replace(run, record={**run.record, 'about': about})


def fill(state: step.TrainState, start: Start) -> step.TrainState:
  """A new state with the arrays of `start` in the places they have here."""

  def place(value, like):
    return jax.make_array_from_callback(
      like.shape, like.sharding, lambda index: np.asarray(value)[index]
    )

  params, stats = dict(state.params), state.stats
  if start.weights is not None:
    params['backbone'], stats = jax.tree.map(
      place, start.weights, (params['backbone'], stats)
    )
  if len(start.classes):
    params['centres'] = _set_rows(params['centres'], start)
  return dataclasses.replace(state, params=params, stats=stats)


def _set_rows(centres, start):
  """Each device sets those rows that it has."""
  place = np.full(len(centres), -1)
  place[start.classes] = np.arange(len(start.classes))

  def part(shard):
    mine = place[shard.index[0]]
    values = np.where(mine[:, None] < 0, shard.data, start.centres[mine])
    return jax.device_put(values, shard.device)

  return jax.make_array_from_single_device_arrays(
    centres.shape, centres.sharding, [*map(part, centres.addressable_shards)]
  )


def _check_images(loaded, config):
  if loaded.image_size != config.data.image_size:
    raise errors.UserError(
      f'{config.init_from} takes images of {loaded.image_size} pixels, this run'
      f' has data.image_size={config.data.image_size}.'
    )
  scaling = scalings.Scaling(*config.data.input_scaling)
  if loaded.scale != scaling:
    raise errors.UserError(
      f'{config.init_from} takes pixels scaled as {loaded.scale.formula}, this'
      f' run scales them as {scaling.formula}. Give'
      f' --config.data.input_scaling="{tuple(loaded.scale)}".'
    )


def _check_backbone(loaded, config, backbone):
  theirs = _options(loaded.description['backbone'])
  ours = _options(settings.backbone_options(config))
  different = {k: v for k, v in theirs.items() if v != ours.get(k)}
  remedy = 'To have the same: ' + ' '.join(
    f'--config.backbone.{k}="{tuple(v) if isinstance(v, list) else v}"'
    for k, v in different.items()
  )
  params, stats = jax.eval_shape(backbone.init, jax.random.key(0))
  try:
    arrays.check_same_shapes(
      {'params': loaded.params, 'stats': loaded.stats},
      {'params': params, 'stats': stats},
      f'The arrays of {config.init_from} do not fit the backbone:',
    )
  except errors.UserError as error:
    raise errors.UserError(f'{error}\n{remedy}') from error
  # Options may differ and the function be the same: those of training, or
  # `blocks` for a `depth`.
  if different and not _same_function(loaded, backbone):
    raise errors.UserError(
      f'The backbone of {config.init_from} has the same arrays as this one, but'
      f' is another function.\n{remedy}'
    )


def _options(given):
  """A backbone's options, those that are left out too, as JSON has them."""
  known = plugins.options('backbone', backbones.__name__, given['name'])
  defaults = {k: p.default for k, p in known.items() if k != 'image_size'}
  return json.loads(json.dumps(defaults | dict(given)))


def _same_function(loaded, backbone):
  shape = (_IMAGES, loaded.image_size, loaded.image_size, 3)
  images = np.random.default_rng(0).normal(size=shape).astype(np.float32)

  def embedded(net):
    infer = jax.jit(functools.partial(net.apply, train=False))
    return np.asarray(infer(loaded.params, loaded.stats, images)[0])

  ours, theirs = embedded(backbone), embedded(loaded.backbone)
  return np.abs(ours - theirs).max() <= _TOLERANCE * np.abs(theirs).max()

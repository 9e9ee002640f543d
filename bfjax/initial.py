"""Where a run starts: another model's backbone, and class centres of it.

A run whose config names a model in `init_from` takes its backbone, statistics
included, and, as `init_centres` says, its class centres: of none of its
classes, of all of them in their order, or of those with the same name. The
model is needed at the start alone: a run that goes on has its own checkpoint.
"""

import functools
import logging
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from bfjax import arrays, backbones, errors, model, plugins, runs, step

_log = logging.getLogger(__name__)

CENTRES = ('none', 'all', 'by_name')
# Random images that two backbones are compared on, and how close they must be.
_IMAGES = 2
_TOLERANCE = 1e-4


class Start(NamedTuple):
  """What a run starts from.

  Attributes:
    params: of the backbone, on the host.
    stats: its running statistics.
    centres: float32 [classes that start from a centre, d].
    classes: int32 of these, of this run.
    origin: what the model says of itself; JSON values.
  """

  params: Any
  stats: Any
  centres: np.ndarray
  classes: np.ndarray
  origin: Mapping[str, Any]


def load(config, run: runs.Run) -> Start:
  """Reads the model of `config.init_from` and fits it to the run.

  Raises:
    UserError: if there is no model, its backbone is another one (all names
      and shapes that differ are listed) or takes other images, or its centres
      cannot be had as asked for.
  """
  wanted = config.init_centres
  errors.choose('init_centres', wanted, dict.fromkeys(CENTRES))
  loaded = model.load_model(
    config.init_from, str(config.init_step), with_centres=wanted != 'none'
  )
  _check_images(loaded, config)
  _check_backbone(loaded, config, run.recipe.backbone)
  theirs = ours = np.zeros(0, np.int32)
  if wanted != 'none':
    _check_centres(loaded, config)
    find = _all if wanted == 'all' else _by_name
    theirs, ours = find(loaded, run.source, config)
  _log.info(
    'Starting from %s; %d of %d classes start from a centre of it.',
    *(config.init_from, len(ours), run.source.num_classes),
  )
  description = loaded.description
  return Start(
    params=loaded.params,
    stats=loaded.stats,
    centres=loaded.centres[theirs] if len(theirs) else np.zeros((0, 0)),
    classes=ours,
    origin={
      'source': description['source'],
      'backbone': description['backbone'],
      'classes_with_centres': len(ours),
    },
  )


def note(record: Mapping[str, Any], start: Start) -> dict[str, Any]:
  """The record of a run with what it starts from."""
  about = {**record['about'], 'initialised_from': dict(start.origin)}
  return {**record, 'about': about}


def fill(
  state: step.TrainState, start: Start, run: runs.Run
) -> step.TrainState:
  """A new state with the arrays of `start` in the places they have here."""

  def place(value, like):
    return jax.make_array_from_callback(
      like.shape, like.sharding, lambda index: np.asarray(value)[index]
    )

  params = dict(state.params)
  params['backbone'] = jax.tree.map(place, start.params, params['backbone'])
  if len(start.classes):
    params['centres'] = _set_rows(params['centres'], start)
  return state.replace(
    params=params, stats=jax.tree.map(place, start.stats, state.stats)
  )


def _set_rows(centres, start):
  """Each device sets those rows that it has."""
  order = np.argsort(start.classes)
  classes, values = start.classes[order], start.centres[order]

  def part(data, index):
    rows = range(len(centres))[index[0]]
    begin, end = np.searchsorted(classes, [rows.start, rows.stop])
    mine = np.array(data)
    mine[classes[begin:end] - rows.start] = values[begin:end]
    return mine

  shards = [
    jax.device_put(part(shard.data, shard.index), shard.device)
    for shard in centres.addressable_shards
  ]
  return jax.make_array_from_single_device_arrays(
    centres.shape, centres.sharding, shards
  )


def _check_images(loaded, config):
  if loaded.image_size != config.data.image_size:
    raise errors.UserError(
      f'{config.init_from} takes images of {loaded.image_size} pixels, this run'
      f' has data.image_size={config.data.image_size}.'
    )
  scaling = model.make_scaling(config.data.input_scaling)
  if loaded.scale != scaling:
    raise errors.UserError(
      f'{config.init_from} takes pixels scaled as {loaded.scale.formula}, this'
      f' run scales them as {scaling.formula}. Give'
      f' --config.data.input_scaling="{tuple(loaded.scale)}".'
    )


def _check_backbone(loaded, config, backbone):
  params, stats = jax.eval_shape(backbone.init, jax.random.key(0))
  arrays.check_same_shapes(
    {'params': loaded.params, 'stats': loaded.stats},
    {'params': params, 'stats': stats},
    config.init_from,
  )
  theirs = _options(loaded.description['backbone'])
  ours = _options(runs.backbone_options(config))
  different = [k for k in ours if ours[k] != theirs.get(k)]
  # Options may differ and the function be the same: `blocks`, for a `depth`.
  if different and not _same_function(loaded, backbone):
    raise errors.UserError(
      f'The backbone of {config.init_from} has the same arrays as this one, but'
      ' is another function. Different: '
      + ', '.join(
        f'{k}={ours[k]!r} (there {theirs.get(k)!r})' for k in different
      )
    )


def _options(given):
  """A backbone's options with those that are left out, as JSON has them."""
  known = plugins.options('backbone', backbones.__name__, given['name'])
  return {
    name: list(value) if isinstance(value, tuple) else value
    for name, value in (
      {k: v.default for k, v in known.items() if k != 'image_size'} | given
    ).items()
  }


def _same_function(loaded, backbone):
  size = loaded.image_size
  shape = (_IMAGES, size, size, 3)
  images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  ours, theirs = (
    np.asarray(infer(loaded.params, loaded.stats, images)[0])
    for infer in (
      jax.jit(functools.partial(net.apply, train=False))
      for net in (backbone, loaded.backbone)
    )
  )
  return np.abs(ours - theirs).max() <= _TOLERANCE * np.abs(theirs).max()


def _check_centres(loaded, config):
  if loaded.centres is None:
    raise errors.UserError(
      f'init_centres={config.init_centres!r}, but {config.init_from} holds no'
      " class centres. Give init_centres='none'."
    )


def _all(loaded, source, config):
  """(classes there, classes here), in the same order."""
  if len(loaded.centres) != source.num_classes:
    raise errors.UserError(
      f"init_centres='all', but {config.init_from} has {len(loaded.centres)}"
      f' classes and this data set {source.num_classes}. Give'
      " init_centres='by_name' or 'none'."
    )
  names = loaded.class_names
  if names is not None:
    for index, (there, here) in enumerate(
      zip(names, source.class_names, strict=True)
    ):
      if there != here:
        raise errors.UserError(
          f"init_centres='all', but class {index} is {there!r} in"
          f' {config.init_from} and {here!r} here. Give'
          " init_centres='by_name'."
        )
  every = np.arange(source.num_classes, dtype=np.int32)
  return every, every


def _by_name(loaded, source, config):
  """(classes there, classes here) of the same name, or renamed."""
  if loaded.class_names is None:
    raise errors.UserError(
      f"init_centres='by_name', but {config.init_from} has no classes.tsv that"
      ' says the names of its classes: lines `class<TAB>name`.'
    )
  there = {name: index for index, name in enumerate(loaded.class_names)}
  renamed = _read_renamed(config.init_renamed)
  pairs = [
    (there[name], index)
    for index, name in enumerate(
      renamed.get(here, here) for here in source.class_names
    )
    if name in there
  ]
  if not pairs:
    raise errors.UserError(
      f'No class of this data set ({source.class_names[0]!r}, ...) has a name'
      f' that {config.init_from} knows ({loaded.class_names[0]!r}, ...). Give'
      " init_renamed, or init_centres='none'."
    )
  found = np.array(pairs, np.int32)
  return found[:, 0], found[:, 1]


def _read_renamed(path):
  """Name here -> name there."""
  if not path:
    return {}
  try:
    text = pathlib.Path(path).read_text('utf-8', 'surrogateescape')
  except OSError as error:
    raise errors.UserError(
      f'init_renamed={path} cannot be read: {error.strerror}.'
    ) from error
  renamed = {}
  for number, line in enumerate(text.splitlines(), 1):
    here, tab, there = line.partition('\t')
    if not tab or here in renamed:
      raise errors.UserError(
        f'{path}:{number}: expected `name here<TAB>name there`, each name here'
        f' once, not {line!r}.'
      )
    renamed[here] = there
  return renamed

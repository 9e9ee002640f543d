"""Features of a whole set of images, computed into a store or a tree."""

import hashlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from bfjax import errors, model, sharding
from bfjax.evaluation.features import (
  embed,
  imagesets,
  rowtable,
  store,
  storewriter,
)
from bfjax.evaluation.protocols import fusion, verification
from bfjax.text import printable

FLIPS = (*fusion.FLIPS, 'both')
LAYOUTS = ('rows', 'tree')
DTYPES = ('float32', 'float16')
_OF_MODEL = ('backbone', 'image_size', 'colour_order', 'input_scaling')


class Form(NamedTuple):
  """What the features are to look like.

  Attributes:
    flip: one of FLIPS, see `store`.
    normalised: whether each is divided by its Euclidean length.
    dtype: one of DTYPES.
    layout: 'rows' for a store, 'tree' for one .npy an image.
    table: of rows, 'tsv' or 'parquet'.
  """

  flip: str = 'sum'
  normalised: bool = False
  dtype: str = 'float32'
  layout: str = 'rows'
  table: str = 'tsv'

  def check(self) -> None:
    """Raises UserError if a value is none of those there are."""
    errors.choose('flip', self.flip, dict.fromkeys(FLIPS))
    errors.choose('type of features', self.dtype, dict.fromkeys(DTYPES))
    errors.choose('layout', self.layout, dict.fromkeys(LAYOUTS))
    errors.choose('row table', self.table, dict.fromkeys(rowtable.KINDS))


def compute(
  path: pathlib.Path,
  images: imagesets.ImageSet,
  out: pathlib.Path,
  *,
  checkpoint: str = 'last',
  form: Form,
  batch: int = 256,
  threads: int = 0,
  flush_secs: float = 10.0,
) -> None:
  """Computes the features of some images by a model on disk, on all devices.

  Args:
    path: the workdir of a run, or a model folder.
    images: the images.
    out: the folder, see `extract`.
    checkpoint: of a run: 'last', 'best' or a step.
    form: what the features are to look like.
    batch: images a step, filled up to a multiple of the devices.
    threads: that decode; 0 for as many as pay.
    flush_secs: as in `extract`.

  Raises:
    UserError: as `extract`; if the model cannot be read.
  """
  form.check()
  if batch < 1:
    raise errors.UserError(f'A batch of {batch} images: give 1 or more.')
  loaded = model.load_model(path, checkpoint, with_centres=False)
  mesh = sharding.make_mesh()
  batch = sharding.pad_to(batch, mesh)
  compiled = embed.make_embed(loaded.backbone, mesh, loaded.scale)
  on_devices = jax.device_put(
    (loaded.params, loaded.stats), sharding.replicated(mesh)
  )

  def embed_batches(files, first):
    return embed.embed_batches(
      compiled,
      *on_devices,
      files,
      batch=batch,
      image_size=loaded.image_size,
      mesh=mesh,
      threads=threads,
      first=first,
    )

  extract(
    embed_batches,
    images.files,
    images.label,
    out,
    form=form,
    batch=batch,
    flush_secs=flush_secs,
    embedding_dim=loaded.backbone.embedding_dim,
    settings=_settings(loaded),
  )


def kept(
  embed_batches: Callable,
  files,
  folder: pathlib.Path,
  loaded: model.Model,
  batch: int,
) -> np.ndarray:
  """The embeddings of images and their mirror images, computed once.

  They are in a store, see `extract`, in a folder named after all that they
  depend on: weights, paths of the images, batch. Those of anything else that
  `folder` holds go.

  Args:
    embed_batches: as in `extract`.
    files: the images.
    folder: where they are kept; of this model alone.
    loaded: the model.
    batch: of `embed_batches`.

  Returns:
    float32 [images, 2, d], not in memory.

  Raises:
    UserError: as `extract`.
  """
  settings = _settings(loaded)
  digest = hashlib.sha256(f'{batch} {settings["weights_sha256"]}'.encode())
  for row in range(files.num_rows):
    digest.update(os.fsencode(files.path(row)) + b'\n')
  place = folder / digest.hexdigest()[:16]
  if folder.exists() and jax.process_index() == 0:
    for other in folder.iterdir():
      if other != place:
        shutil.rmtree(other)
  extract(
    embed_batches,
    files,
    lambda row: '',
    place,
    form=Form('both'),
    batch=batch,
    embedding_dim=loaded.backbone.embedding_dim,
    settings=settings,
  )
  return np.load(place / store.FEATURES, mmap_mode='r')


def _settings(loaded: model.Model) -> dict[str, Any]:
  """What features depend on of the model that they are of."""
  return {
    'weights_sha256': _digest((loaded.params, loaded.stats)),
    **{key: loaded.description[key] for key in _OF_MODEL},
    'about': {'model': loaded.description['source']},
  }


def _digest(weights) -> str:
  """SHA-256, in hexadecimal, of names and values of all arrays."""
  digest = hashlib.sha256()
  for name, array in jax.tree_util.tree_leaves_with_path(weights):
    digest.update(jax.tree_util.keystr(name).encode())
    digest.update(np.ascontiguousarray(array))
  return digest.hexdigest()


def extract(
  embed_batches: Callable,
  files,
  label: Callable[[int], str],
  out: pathlib.Path,
  *,
  form: Form,
  batch: int,
  embedding_dim: int,
  settings: Mapping[str, Any],
  progress: str = 'Embedding',
  flush_secs: float = 10.0,
) -> None:
  """Computes the features of all images, or the rest of them.

  Rows are computed in batches that begin at multiples of `batch`, so what is
  computed after a kill is what would have been without it, bit for bit.

  Args:
    embed_batches: (files, first row) -> as `embed.embed_batches`.
    files: the images.
    label: row -> the label as the user writes it, or ''.
    out: the folder; of the first process.
    form: what the features are to look like.
    batch: of `embed_batches`.
    embedding_dim: of the network.
    settings: JSON values that say what else the features depend on: the
      weights, above all. What is under 'about' is only told.
    progress: what the progress bar is headed.
    flush_secs: how often what is done is noted; a kill costs what was not.

  Raises:
    UserError: if `out` has features made otherwise, an image cannot be read,
      features are not finite (the image is named), or the disk is full.
  """
  form.check()
  writes = jax.process_index() == 0
  done = 0
  if writes:
    writer = _open(files, label, out, form, batch, embedding_dim, settings)
    done = files.num_rows if writer.is_finished else writer.done
  if jax.process_count() > 1:
    done = int(multihost_utils.broadcast_one_to_all(np.int32(done)))
  first = done - done % batch
  batches = embed_batches(files, first) if done < files.num_rows else ()
  if not writes:
    for _ in batches:
      pass
    return
  if writer.is_finished:
    return
  flushed = time.monotonic()
  with writer, embed.bar(files.num_rows, progress, first, always=True) as bar:
    for row, found in batches:
      features = _formed(found, files, row, form)
      writer.write(row, features)
      bar.update(len(features))
      if time.monotonic() - flushed >= flush_secs:
        writer.flush(row + len(features))
        flushed = time.monotonic()
    writer.finish()


def _open(files, label, out, form, batch, embedding_dim, settings):
  """The writer, with the table of rows beside it."""
  digest = hashlib.sha256()
  for text in rowtable.lines(files.num_rows, files.name, label):
    digest.update(text)
  width = embedding_dim * (2 if form.flip == 'joined' else 1)
  shape = (2, width) if form.flip == 'both' else (width,)
  known = {
    'format': 'bfjax-features',
    'num_rows': files.num_rows,
    'dim': width,
    'images_sha256': digest.hexdigest(),
    'batch': batch,
    'rows': f'rows.{form.table}',
    **form._asdict(),
    **settings,
  }
  if form.layout == 'tree':
    storewriter.check_tree_names(files.num_rows, files.name)
    sink = storewriter.Tree(files.name, form.dtype)
  else:
    sink = storewriter.Rows((files.num_rows, *shape), form.dtype)
  writer = storewriter.Writer(out, known, sink)
  table = out / known['rows']
  if not table.exists():
    rowtable.write(table, files.num_rows, files.name, label)
  return writer


def _formed(found, files, first, form) -> np.ndarray:
  """Features as asked for; refused if they are not finite."""
  _check_finite(found, files, first, 'The network has diverged or overflowed.')
  if form.flip == 'both':
    features = found
    if form.normalised:
      flat = found.reshape(-1, found.shape[-1])
      flat = fusion.fuse(flat, flip='none', normalise=True)
      features = flat.reshape(found.shape)
  else:
    features = fusion.fuse(found, flip=form.flip, normalise=form.normalised)
  with np.errstate(over='ignore'):
    features = features.astype(form.dtype)
  _check_finite(features, files, first, f'Too large for {form.dtype}.')
  return features


def _check_finite(features, files, first, why) -> None:
  row = verification.first_not_finite(features)
  if row is not None:
    name = printable(files.name(first + row))
    raise errors.UserError(
      f'The features of the image {name} are not finite: NaN or infinity. {why}'
    )

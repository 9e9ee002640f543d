"""Features of a whole set of images, computed into a store or a tree."""

import functools
import hashlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from bfjax import errors, model, peers, sharding
from bfjax.evaluation.features import embed, rowtable, store, storewriter

_OF_MODEL = ('backbone', 'image_size', 'colour_order', 'input_scaling')


def compute(
  path: pathlib.Path,
  files,
  out: pathlib.Path,
  *,
  checkpoint: str = 'last',
  form: store.Form,
  batch: int = 256,
  threads: int = 0,
  flush_secs: float = 10.0,
) -> None:
  """Computes the features of some images by a model on disk, on all devices.

  Args:
    path: the workdir of a run, or a model folder.
    files: the images, see `extract`.
    out: the folder, likewise.
    checkpoint: of a run: 'last', 'best' or a step.
    form: what the features are to look like.
    batch: images a step, filled up to a multiple of the devices.
    threads: that decode; 0 for as many as pay.
    flush_secs: as in `extract`.

  Raises:
    UserError: as `extract`; if the model cannot be read.
  """
  if batch < 1:
    raise errors.UserError(f'A batch of {batch} images: give 1 or more.')
  loaded = model.load_model(path, checkpoint, with_centres=False)
  mesh = sharding.make_mesh()
  embedder = embed.Embedder(
    loaded.backbone,
    mesh,
    batch=batch,
    image_size=loaded.image_size,
    scale=loaded.scale,
    threads=threads,
  )
  weights = jax.device_put(
    (loaded.params, loaded.stats), sharding.replicated(mesh)
  )
  extract(
    functools.partial(embedder, *weights),
    files,
    out,
    form=form,
    batch=embedder.batch,
    embedding_dim=embedder.embedding_dim,
    settings=_settings(loaded),
    flush_secs=flush_secs,
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
    place,
    form=store.Form('both'),
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
    digest.update(np.ascontiguousarray(array).data)
  return digest.hexdigest()


def _name(files, first, i) -> str:
  return files.name(first + i)


def extract(
  embed_batches: Callable,
  files,
  out: pathlib.Path,
  *,
  form: store.Form,
  batch: int,
  embedding_dim: int,
  settings: Mapping[str, Any],
  flush_secs: float = 10.0,
) -> None:
  """Computes the features of all images, or the rest of them.

  Rows are computed in batches that begin at multiples of `batch`, so what is
  computed after a kill is what would have been without it, bit for bit.

  Args:
    embed_batches: (files, first=row) -> as `embed.Embedder`.
    files: the images, with num_rows, read, name and path; their labels are
      told where they have `labels` and `class_names`, as a source has.
    out: the folder; of the first process.
    form: what the features are to look like.
    batch: of `embed_batches`.
    embedding_dim: of the network.
    settings: JSON values that say what else the features depend on: the
      weights, above all. What is under 'about' is only told.
    flush_secs: how often what is done is noted; a kill costs what was not.

  Raises:
    UserError: if `out` has features made otherwise, an image cannot be read,
      features are not finite (the image is named), or the disk is full.
  """
  writes = jax.process_index() == 0
  done = 0
  if writes:
    writer = _open(files, out, form, batch, embedding_dim, settings)
    done = writer.done
  done = peers.exchange('opened the images', done)[0]
  is_left = done < files.num_rows
  batches = embed_batches(files, first=done) if is_left else ()
  if not writes:
    for _ in batches:
      pass
    return
  if writer.is_finished:
    return
  flushed = time.monotonic()
  bar = embed.bar(files.num_rows, 'Embedding', done, always=True)
  with writer, bar:
    for row, found in batches:
      features = form.of(found, functools.partial(_name, files, row))
      writer.write(row, features)
      bar.update(len(features))
      if time.monotonic() - flushed >= flush_secs:
        writer.flush(row + len(features))
        flushed = time.monotonic()
    writer.finish()


def _open(files, out, form, batch, embedding_dim, settings):
  """The writer, with the table of rows beside it."""
  has_labels = hasattr(files, 'class_names')
  lines = (
    files.num_rows,
    files.name,
    lambda row: files.class_names[files.labels[row]] if has_labels else '',
  )
  digest = hashlib.sha256()
  for text in rowtable.lines(*lines):
    digest.update(text)
  width = embedding_dim * (2 if form.flip == 'joined' else 1)
  shape = (2, width) if form.flip == 'both' else (width,)
  known = {
    'format': 'bfjax-features',
    'num_rows': files.num_rows,
    'dim': width,
    'images_sha256': digest.hexdigest(),
    'batch': batch,
    'rows': rowtable.NAME,
    **form._asdict(),
    **settings,
  }
  if form.layout == 'tree':
    sink = storewriter.Tree(files, form.dtype)
  else:
    sink = storewriter.Rows((files.num_rows, *shape), form.dtype)
  return storewriter.Writer(out, known, sink, rowtable.lines(*lines))

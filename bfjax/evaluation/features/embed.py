"""Embeddings of many images, with their mirror images, on all devices."""

import sys
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from bfjax import backbones, sharding
from bfjax.data import pipeline


def make_embed(
  backbone: backbones.Backbone,
  mesh,
  scale: Callable = backbones.scale_pixels,
) -> Callable:
  """Returns the compiled `embed(params, stats, images) -> float32 [n, 2, d]`.

  `images` is uint8 [n, h, w, 3], n divisible by the devices; the result holds
  f(x) and f(mirror image of x), not normalised, and lies on every device.

  Args:
    backbone: the network.
    mesh: the devices.
    scale: uint8 images -> what the network takes.
  """

  def embed(params, stats, images):
    both = jnp.concatenate([images, images[:, :, ::-1]])
    both = jax.lax.with_sharding_constraint(both, sharding.rows(mesh))
    features, _ = backbone.apply(params, stats, scale(both), train=False)
    return jnp.stack(jnp.split(features, 2), axis=1)

  return jax.jit(embed, out_shardings=sharding.replicated(mesh))


class _Share:
  """The images that one process embeds: its part of every batch.

  Row i of the share is the image `first + step * batch + part * size + i mod
  size` of all, with size = batch / parts and step = i div size; after the last
  image it is the last one again.
  """

  def __init__(self, files, first: int, batch: int, part: int, parts: int):
    self._files, self._first, self._batch = files, first, batch
    self._size = batch // parts
    self._offset = part * self._size
    self.num_batches = -(-(files.num_rows - first) // batch)
    self.num_rows = self.num_batches * self._size

  def _row(self, rows):
    step, within = np.divmod(np.asarray(rows), self._size)
    found = self._first + step * self._batch + self._offset + within
    return np.minimum(found, self._files.num_rows - 1)

  def read(self, rows):
    return self._files.read(self._row(rows))

  def name(self, row):
    return self._files.name(int(self._row(row)))

  def path(self, row):
    return self._files.path(int(self._row(row)))


def embed_batches(
  embed: Callable,
  params,
  stats,
  files,
  *,
  batch: int,
  image_size: int,
  mesh,
  threads: int = 0,
  first: int = 0,
) -> Iterator[tuple[int, np.ndarray]]:
  """Yields (row, features) of the images `first`, `first + 1` ..., in order.

  All batches have one shape, so `embed` is compiled once. A batch is on the
  devices while the one before is taken off them.

  Args:
    embed: from `make_embed`.
    params: of the backbone.
    stats: its running statistics.
    files: has num_rows, read, name and path, as `files.ImageFiles` has.
    batch: images a step over all devices; divisible by their number.
    image_size: pixels of a side.
    mesh: the devices.
    threads: that decode; 0 for as many as pay.
    first: the image to begin with.

  Yields:
    the number of the first image, and float32 [at most batch, 2, d] from it
    on; the same on every process.

  Raises:
    UserError: if an image cannot be read; it is named.
  """
  parts = jax.process_count()
  share = _Share(files, first, batch, jax.process_index(), parts)
  batches = pipeline.ordered_batches(
    share, batch=batch // parts, image_size=image_size, threads=threads
  )
  before = None
  for step, images in enumerate(batches):
    images = jax.make_array_from_process_local_data(
      sharding.rows(mesh), images['image']
    )
    now = first + step * batch, embed(params, stats, images)
    if before:
      yield before[0], np.asarray(before[1])
    before = now
  if before:
    row, features = before
    yield row, np.asarray(features)[: files.num_rows - row]


def embed_files(
  embed: Callable,
  params,
  stats,
  files,
  *,
  progress: str = '',
  **options,
) -> np.ndarray:
  """Embeds every image of `files`, in order.

  Args:
    embed: from `make_embed`.
    params: of the backbone.
    stats: its running statistics.
    files: as in `embed_batches`.
    progress: what a progress bar is headed; '' for none.
    **options: batch, image_size, mesh and threads of `embed_batches`.

  Returns:
    float32 [num_rows, 2, d], on every process.

  Raises:
    UserError: if an image cannot be read; it is named.
  """
  features = []
  with bar(files.num_rows, progress) as shown:
    for _, found in embed_batches(embed, params, stats, files, **options):
      features.append(found)
      shown.update(len(found))
  return np.concatenate(features)


def bar(
  num_images: int, title: str, done: int = 0, always: bool = False
) -> tqdm.tqdm:
  """A progress bar with speed and time left; none where `title` is ''.

  Args:
    num_images: of the whole.
    title: what it is headed.
    done: how many are done already.
    always: whether to show it in a log too, not on terminals only; there it is
      written anew every ten seconds.
  """
  in_log = always and not sys.stderr.isatty()
  hidden = None if title else True  # None: shown on terminals only
  return tqdm.tqdm(
    total=num_images,
    initial=done,
    desc=title,
    unit='image',
    unit_scale=True,
    disable=False if title and always else hidden,
    mininterval=10.0 if in_log else 0.1,
    leave=always,
  )

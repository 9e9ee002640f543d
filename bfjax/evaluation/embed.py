"""Embeddings of many images, with their mirror images, on all devices."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from bfjax import backbones, sharding
from bfjax.data import pipeline


def make_embed(backbone: backbones.Backbone, mesh) -> Callable:
  """Returns the compiled `embed(params, stats, images) -> float32 [n, 2, d]`.

  `images` is uint8 [n, h, w, 3], n divisible by the devices; the result holds
  f(x) and f(mirror image of x), not normalised, and lies on every device.
  """

  def embed(params, stats, images):
    both = jnp.concatenate([images, images[:, :, ::-1]])
    both = jax.lax.with_sharding_constraint(both, sharding.rows(mesh))
    features, _ = backbone.apply(
      params, stats, backbones.scale_pixels(both), train=False
    )
    return jnp.stack(jnp.split(features, 2), axis=1)

  return jax.jit(embed, out_shardings=sharding.replicated(mesh))


class _Part:
  """The rows of some image files that one process embeds."""

  def __init__(self, files, first: int, num_rows: int):
    self._files, self._first, self.num_rows = files, first, num_rows

  def read(self, rows):
    last = self._files.num_rows - 1
    return self._files.read(np.minimum(np.asarray(rows) + self._first, last))

  def name(self, row):
    return self._files.name(min(row + self._first, self._files.num_rows - 1))

  def path(self, row):
    return self._files.path(min(row + self._first, self._files.num_rows - 1))


def embed_files(
  embed: Callable,
  params,
  stats,
  files,
  *,
  batch: int,
  image_size: int,
  mesh,
  threads: int = 0,
  progress: str = '',
) -> np.ndarray:
  """Embeds every image of `files`, in order.

  Args:
    embed: from `make_embed`.
    params: of the backbone.
    stats: its running statistics.
    files: has num_rows, read and name, as `files.ImageFiles` has.
    batch: images a step over all devices; divisible by their number.
    image_size: pixels of a side.
    mesh: the devices.
    threads: that decode; 0 for as many as pay.
    progress: what a progress bar is headed; '' for none.

  Returns:
    float32 [num_rows, 2, d], on every process.

  Raises:
    UserError: if an image cannot be read; it is named.
  """
  processes = jax.process_count()
  local_batch = batch // processes
  part_rows = -(-files.num_rows // processes)
  part = _Part(files, jax.process_index() * part_rows, part_rows)
  batches = pipeline.ordered_batches(
    part, batch=local_batch, image_size=image_size, threads=threads
  )
  features = []
  for images in tqdm.tqdm(
    batches,
    total=-(-part_rows // local_batch),
    desc=progress,
    unit='batch',
    disable=None if progress else True,  # None: shown on terminals only
    leave=False,
  ):
    images = jax.make_array_from_process_local_data(
      sharding.rows(mesh), images['image']
    )
    together = np.asarray(embed(params, stats, images))
    mine = together.reshape(processes, local_batch, *together.shape[1:])
    features.append(mine)
  # [process, row of its part, 2, d], then the parts one after the other.
  whole = np.concatenate(features, axis=1)[:, :part_rows]
  return whole.reshape(-1, *whole.shape[2:])[: files.num_rows]

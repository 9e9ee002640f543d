"""Embeddings of many images, with their mirror images, on all devices."""

import sys
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from bfjax import backbones, peers, scalings, sharding
from bfjax.data import pipeline, selection


class Embedder:
  """Embeds images and their mirror images, on all devices.

  It is compiled once: all batches have one shape.

  Attributes:
    batch: images a step over all devices, a multiple of their number.
    embedding_dim: d of the features.
  """

  def __init__(
    self,
    backbone: backbones.Backbone,
    mesh,
    *,
    batch: int,
    image_size: int,
    scale: scalings.Scaling = scalings.STANDARD,
    threads: int = 0,
  ):
    """Takes the network, and how its images are made.

    Args:
      backbone: the network.
      mesh: the devices.
      batch: images a step; filled up to a multiple of the devices.
      image_size: pixels of a side.
      scale: uint8 images -> what the network takes.
      threads: that decode; 0 for as many as pay.
    """
    self.batch = sharding.pad_to(batch, mesh)
    self.embedding_dim = backbone.embedding_dim
    self._mesh, self._image_size, self._threads = mesh, image_size, threads

    def embed(params, stats, images):
      both = jnp.concatenate([images, images[:, :, ::-1]])
      both = jax.lax.with_sharding_constraint(both, sharding.rows(mesh))
      features, _ = backbone.apply(params, stats, scale(both), train=False)
      return jnp.stack(jnp.split(features, 2), axis=1)

    self._embed = jax.jit(embed, out_shardings=sharding.replicated(mesh))
    self._compiled = {}  # shape of the pixels of this process -> the program

  def __call__(
    self, params, stats, files, first: int = 0
  ) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (row, features) of the images `first`, `first + 1` ..., in order.

    A batch is on the devices while the one before is taken off them.

    Args:
      params: of the backbone.
      stats: its running statistics.
      files: has num_rows, read, name and path, as `files.ImageFiles` has.
      first: the image to begin with.

    Yields:
      the number of the first image, and float32 [at most batch, 2, d] from it
      on, f(x) and f(mirror image of x), not normalised; the same on every
      process.

    Raises:
      UserError: if an image cannot be read; it is named.
    """
    parts, part = jax.process_count(), jax.process_index()
    steps = -(-(files.num_rows - first) // self.batch)
    # Whole batches, the last one filled up with the last image; of each batch,
    # the part of this process.
    rows = np.arange(first, first + steps * self.batch)
    rows = np.minimum(rows, files.num_rows - 1).reshape(steps, parts, -1)
    batches = pipeline.ordered_batches(
      selection.Rows(files, rows[:, part].reshape(-1)),
      batch=self.batch // parts,
      image_size=self._image_size,
      threads=self._threads,
    )
    pixels = (images['image'] for images in batches)
    row = first
    for found in self.of_pixels(params, stats, pixels):
      yield row, found[: files.num_rows - row]
      row += self.batch

  def of_pixels(
    self, params, stats, batches: Iterable[np.ndarray]
  ) -> Iterator[np.ndarray]:
    """Yields the features of whole batches of pixels, in order.

    Args:
      params: of the backbone.
      stats: its running statistics.
      batches: uint8 [batch / processes, image_size, image_size, 3] each, RGB:
        the part of this process.

    Yields:
      float32 [batch, 2, d], as a call does.
    """
    before = None
    for pixels in batches:
      pixels = jax.make_array_from_process_local_data(
        sharding.rows(self._mesh), pixels
      )
      if pixels.shape not in self._compiled:
        compiled = self._embed.lower(params, stats, pixels).compile()
        self._compiled[pixels.shape] = compiled
        peers.exchange('compiled the evaluation')
      now = self._compiled[pixels.shape](params, stats, pixels)
      if before is not None:
        yield np.asarray(before)
      before = now
    if before is not None:
      yield np.asarray(before)


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
  on_terminal = sys.stderr.isatty()
  return tqdm.tqdm(
    total=num_images,
    initial=done,
    desc=title,
    unit='image',
    unit_scale=True,
    disable=not (title and (always or on_terminal)),
    mininterval=0.1 if on_terminal else 10.0,
    leave=always,
  )

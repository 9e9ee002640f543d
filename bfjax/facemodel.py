"""A trained model to use from Python: images in, embeddings out, as numpy."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import logging as absl_logging

from bfjax import errors, model, sharding
from bfjax.data import given as given_images
from bfjax.evaluation.features import embed as embedding
from bfjax.evaluation.features import store
from bfjax.evaluation.protocols import fusion


class FaceModel:
  """A trained model, in memory.

  Images are paths of JPEG, PNG, BMP or WebP files, or uint8 arrays [h, w, 3],
  RGB, 0 to 255. They are resized to a square of `image_size`; aligned faces of
  112 x 112 pixels are best.

  Attributes:
    image_size: pixels of a side, of what the net takes.
    embedding_dim: d, the length of an embedding.
    centres: float32 [classes, d], of the people that it was trained on; or
      None.
    class_names: of each centre, or None.
    description: what the model is and where it is from; JSON values.
    loaded: the same with the arrays, as the package itself has it.
  """

  def __init__(self, loaded: model.Model):
    self.image_size = loaded.image_size
    self.embedding_dim = loaded.backbone.embedding_dim
    self.centres = loaded.centres
    self.class_names = loaded.class_names
    self.description = loaded.description
    self.loaded, self._embedders = loaded, {}

  def __repr__(self) -> str:
    kind = self.description['backbone']['name']
    size, dim = self.image_size, self.embedding_dim
    return f'<FaceModel: {kind}, {size} x {size} pixels -> {dim} numbers>'

  def embed(
    self,
    images: given_images.Images,
    *,
    flip: str = 'sum',
    normalise: bool = False,
    batch: int = 256,
  ) -> np.ndarray:
    """Embeddings of images.

    Example:
      >>> import bfjax
      >>> model = bfjax.load('models/net')
      >>> model.embed(['one.png', 'other.png']).shape
      (2, 8)
      >>> import numpy as np
      >>> pixels = np.zeros((3, 112, 96, 3), np.uint8)
      >>> model.embed(pixels, flip='joined', batch=2).shape
      (3, 16)
      >>> model.embed('one.png').shape
      (8,)

    Args:
      images: paths, or arrays uint8 [h, w, 3] of any sizes, in a sequence; or
        one array uint8 [n, h, w, 3]; or one image.
      flip: what is made of f(x) and f(mirror image of x): 'sum', 'none' (f(x)
        alone), 'joined' (2 d numbers), or 'both' ([n, 2, d]).
      normalise: whether each is divided by its Euclidean length.
      batch: images a step, at most.

    Returns:
      float32 [n, d] in the order of the images; [d] of one image.

    Raises:
      UserError: if there is no such `flip`, an image is not as it ought to be
        or cannot be read, or an embedding is not finite; it is named.
    """
    given, is_one = given_images.listed(images)
    errors.choose('flip', flip, dict.fromkeys((*fusion.FLIPS, 'both')))
    if batch < 1:
      raise errors.UserError(f'A batch of {batch} images: give 1 or more.')
    # Few images need no whole batch; powers of two, as each size is compiled.
    embedder = self._embedder(min(batch, 1 << (len(given) - 1).bit_length()))
    found = np.empty((len(given), 2, self.embedding_dim), np.float32)
    batches = given_images.batches(given, self.image_size, embedder.batch)
    done = 0
    with embedding.bar(len(given), 'Embedding') as bar:
      for both in embedder.of_pixels(*self._weights, batches):
        both = both[: len(given) - done]
        found[done : done + len(both)] = both
        done += len(both)
        bar.update(len(both))
    form = store.Form(flip, normalise)
    features = form.of(found, lambda i: given_images.name(given[i], i))
    return features[0] if is_one else features

  def similarity(self, a, b) -> np.ndarray | float:
    """Cosines between all of `a` and all of `b`, -1 to 1.

    Example:
      >>> import bfjax
      >>> model = bfjax.load('models/net')
      >>> known = model.embed(['one.png', 'other.png'])
      >>> model.similarity(known, known).shape
      (2, 2)
      >>> round(float(model.similarity('one.png', 'one.png')), 4)
      1.0

    Args:
      a: embeddings, float [n, d] or [d], such as `embed` gives; or images,
        which are embedded.
      b: likewise, m of them.

    Returns:
      float32 [n, m]; without the axis of what is one embedding or image.

    Raises:
      UserError: as `embed`; if embeddings of different lengths are given.
    """
    a, b = self._vectors(a), self._vectors(b)
    if a.shape[-1] != b.shape[-1]:
      raise errors.UserError(
        f'Embeddings of {a.shape[-1]} and of {b.shape[-1]} numbers have no'
        ' cosine: make both with the same model and the same flip.'
      )
    return (a @ b.T).astype(np.float32)

  def save(self, path: str | os.PathLike) -> None:
    """Writes a model folder, which `bfjax.load` and all commands read.

    Example:
      >>> import bfjax
      >>> bfjax.load('models/net').save('models/copy')
      >>> bfjax.load('models/copy')
      <FaceModel: iresnet, 16 x 16 pixels -> 8 numbers>

    Args:
      path: of a new folder.

    Raises:
      UserError: if something is there already, or it cannot be written.
    """
    own = self.loaded
    model.save_model(
      path,
      own.description,
      own.params,
      own.stats,
      centres=own.centres,
      class_names=own.class_names,
    )

  @functools.cached_property
  def _weights(self) -> tuple[Any, Any]:
    own = self.loaded
    everywhere = sharding.replicated(sharding.make_mesh())
    return jax.device_put((own.params, own.stats), everywhere)

  def _embedder(self, batch) -> embedding.Embedder:
    if batch not in self._embedders:
      own = self.loaded
      self._embedders[batch] = embedding.Embedder(
        own.backbone,
        sharding.make_mesh(),
        batch=batch,
        image_size=self.image_size,
        scale=own.scale,
      )
    return self._embedders[batch]

  def _vectors(self, given) -> np.ndarray:
    """Embeddings, float64 [n, d] or [d], of length 1."""
    if not isinstance(given, np.ndarray) or given.dtype.kind != 'f':
      given = self.embed(given)
    if not 1 <= given.ndim <= 2:
      raise errors.UserError(
        f'Embeddings are [n, d] or [d]; this array is {list(given.shape)}. (An'
        ' image is uint8.)'
      )
    vectors = np.atleast_2d(given).astype(np.float64)
    return fusion.normalised(vectors).reshape(given.shape)


def load(
  path: str | os.PathLike, *, checkpoint: str = 'last', colour_order: str = ''
) -> FaceModel:
  """Reads a trained model.

  Example:
    >>> import bfjax
    >>> bfjax.load('runs/mine', checkpoint='best')
    <FaceModel: iresnet, 16 x 16 pixels -> 8 numbers>

  Args:
    path: the workdir of a run, a model folder, or a file: a checkpoint of
      BoundaryFace, FaceX-Zoo, InsightFace or AdaFace, PyTorch or safetensors,
      which is converted and proven (docs/convert.md; it needs PyTorch).
    checkpoint: of a run: 'last', 'best' or a step.
    colour_order: of the images that a file's net takes, 'RGB' or 'BGR'; '' for
      what its code base uses.

  Raises:
    UserError: if there is no model, it is damaged, or the file is not known.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise errors.UserError(f'There is no model {path}.')
  if path.is_dir():
    if colour_order:
      raise errors.UserError(f'colour_order is for files; {path} is a folder.')
    with _quiet():
      return FaceModel(model.load_model(path, checkpoint))
  from bfjax.convert import torch_in  # loads PyTorch

  return FaceModel(torch_in.convert(path, colour_order=colour_order).model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Orbax warns of what does not matter here; errors alone are logged."""
  before = absl_logging.get_verbosity()
  absl_logging.set_verbosity(absl_logging.ERROR)
  try:
    yield
  finally:
    absl_logging.set_verbosity(before)

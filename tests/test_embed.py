import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bfjax import backbones, errors, sharding
from bfjax.data import files
from bfjax.evaluation.features import embed

SIZE = 8


def flattened(params, stats, images, *, train, dropout_key=None):
  """A backbone that shows what it was given."""
  assert not train
  return images.reshape(len(images), -1) * params, stats


@pytest.fixture
def images(tmp_path):
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (11, SIZE, SIZE, 3), np.uint8)
  for i, image in enumerate(pixels):
    cv2.imwrite(str(tmp_path / f'{i}.png'), image[..., ::-1])
  return files.ImageFiles([f'{i}.png' for i in range(11)], tmp_path), pixels


def embed_on(num_devices, found, batch):
  mesh = sharding.make_mesh(jax.devices()[:num_devices])
  backbone = backbones.Backbone(None, flattened, SIZE * SIZE * 3)
  embedder = embed.Embedder(backbone, mesh, batch=batch, image_size=SIZE)
  features = [x for _, x in embedder(jnp.float32(2), {}, found)]
  return np.concatenate(features)


@pytest.mark.parametrize(('num_devices', 'batch'), [(1, 4), (2, 6), (8, 16)])
def test_every_image_and_its_mirror_image_in_order(images, num_devices, batch):
  found, pixels = images
  scaled = ((pixels / 255 - 0.5) / 0.5 * 2).astype(np.float32)
  expected = np.stack(
    [scaled.reshape(11, -1), scaled[:, :, ::-1].reshape(11, -1)], axis=1
  )
  features = embed_on(num_devices, found, batch)
  np.testing.assert_allclose(features, expected, rtol=1e-6, atol=1e-6)


def test_an_image_that_cannot_be_read_is_named(images, tmp_path):
  (tmp_path / '7.png').write_bytes(b'no image')
  with pytest.raises(errors.UserError, match=r'7\.png'):
    embed_on(1, images[0], 4)

"""RecordIO sets for the tests."""

import cv2
import numpy as np

from bfjax.data import sources
from bfjax.formats import recordio

MAGIC = b'\x0a\x23\xd7\xce'


def jpeg(seed=0, size=8):
  pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3))
  return cv2.imencode('.jpg', pixels.astype(np.uint8))[1].tobytes()


def write(root, records, index=True):
  """Writes (key, labels, image); returns the offset of each key."""
  with recordio.Writer(root / 'train.rec') as writer:
    offsets = {}
    for key, labels, image in records:
      offsets[key] = writer.position.record_bytes
      writer.write(key, labels, image)
  if not index:
    (root / 'train.idx').unlink()
  return offsets


FIVE = [(key, float(key // 2), b'image %d' % key) for key in range(5)]


def insightface(root, labels, identities, images=None):
  """A set in InsightFace's layout; images are `image KEY`."""
  with recordio.Writer(root / 'train.rec') as writer:
    for key, label in enumerate(labels, 1):
      image = images[key - 1] if images else b'image %d' % key
      writer.write(key, [label, 0.0], image)
    writer.write_identities(len(labels), identities)


def build(root, **options):
  options.setdefault('index_dir', str(root / 'kept'))
  return sources.build('recordio', root=str(root), **options)


def put(path, offset, content):
  data = bytearray(path.read_bytes())
  data[offset : offset + len(content)] = content
  path.write_bytes(data)

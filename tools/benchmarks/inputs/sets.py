"""The same JPEG images as a list, a folder, RecordIO and a set of TFDS."""

import os
import pathlib

import cv2
import numpy as np

from bfjax.data import labelled, sources
from bfjax.datasets import layouts, packing

IMAGE_SIZE = 112
_CLASSES = 8


def write_list(root: pathlib.Path, num_images: int) -> labelled.Source:
  """Writes smooth random pictures with sensor noise, about 6.7 kB each."""
  random = np.random.default_rng(0)
  lines = []
  for i in range(num_images):
    coarse = random.uniform(0, 255, [7, 7, 3]).astype(np.float32)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    picture += random.normal(0, 6, picture.shape)
    label = i * _CLASSES // num_images
    name = f'{label}/{i}.jpg'
    (root / str(label)).mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    pixels = picture.clip(0, 255).astype(np.uint8)
    cv2.imwrite(os.fspath(root / name), pixels, quality)
    lines.append(f'{name}  {label}\n')
  (root / 'list.txt').write_text(''.join(lines))
  return sources.build('imagelist', root=os.fspath(root), list='list.txt')


def write_all(
  folder: pathlib.Path, num_images: int
) -> dict[str, labelled.Source]:
  """Returns the sources by name; all of them hold the same images."""
  listed = write_list(folder / 'images', num_images)
  records = _convert(listed, 'recordio', folder / 'records')
  tfds = _convert(listed, 'tfds', folder / 'faces/1.0.0')
  return {
    'list': listed,
    'folder': sources.build('imagelist', root=listed.images.root),
    'recordio': sources.build('recordio', root=records, index_dir=records),
    'tfds': sources.build('tfds', root=tfds, index_dir=tfds),
  }


def _convert(source, name, folder) -> str:
  writer = layouts.build(name, out=folder)
  packing.pack(source, writer, command={}, check='none')
  return os.fspath(folder)

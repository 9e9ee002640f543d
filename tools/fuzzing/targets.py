"""The readers of binary files: what they are given, what they may do with it.

A reader takes a file or refuses it; whatever else comes out of `try_...` is a
bug.
"""

import functools
import os
import pathlib
import pickle
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from bfjax import errors
from bfjax.data import images
from bfjax.data.sources import recordio as records_source
from bfjax.formats import packs, recordio

# Between the records and the index, where a file stands for both.
_INDEX = b'|train.idx|'
# One in so many is tried with on_error='error' too.
_BOTH_WAYS = 4
_PNG = b'\x89PNG\r\n\x1a\n'


class Target(NamedTuple):
  """A reader.

  Attributes:
    seeds: files that it takes, to be broken.
    tokens: byte strings that mean something in them.
    attempt: file -> whether the reader took it.
  """

  seeds: Sequence[bytes]
  tokens: Sequence[bytes]
  attempt: Callable[[bytes], bool]


def open_target(name: str, folder: str | os.PathLike) -> Target:
  """The reader called 'records', 'packs' or 'images'.

  Args:
    name: of the reader.
    folder: where files are put for those that read no bytes.

  Raises:
    UserError: if there is none of this name.
  """
  return errors.choose('reader', name, TARGETS)(pathlib.Path(folder))


def _records(folder) -> Target:
  tokens = [
    recordio.MAGIC_BYTES,
    *(struct.pack('<I', kind << 29 | 8) for kind in range(5)),
    recordio.frame(recordio.pack([3.0, 4.0], 0, b'')),
    recordio.frame(recordio.pack(1.0, 1, b'image')),
    _INDEX,
    b'0\t0\n',
    b'1\t40\n',
    b'99999999999999999999\t4\n',
    b'\t',
    b'\n',
  ]
  attempt = functools.partial(_try_records, folder)
  return Target(_record_seeds(folder), tokens, attempt)


def _record_seeds(folder):
  magic = recordio.MAGIC_BYTES
  sets = (
    [(k, float(k % 3), b'image %d' % k) for k in range(6)],
    [(k, [float(k // 2), 0.0], magic * k + b'x') for k in range(1, 5)],
    [(9, 5.0, b''), (3, [2.0], b'a' * 40), (4, 2.0, b'b' * 41)],
  )
  seeds = []
  path = folder / 'train.rec'
  for number, records in enumerate(sets):
    with recordio.Writer(path) as writer:
      for record in records:
        writer.write(*record)
      if number == 1:
        writer.write_identities(len(records), [(1, 3), (3, 5)])
    content = path.read_bytes()
    index = pathlib.Path(recordio.index_path(path)).read_bytes()
    seeds += [content, content + _INDEX + index]
  return seeds


def _try_records(folder, data):
  content, listed, index = data.partition(_INDEX)
  # To write over a file takes much longer than to make a new one.
  for name in ('train.rec', 'train.idx'):
    (folder / name).unlink(missing_ok=True)
  (folder / 'train.rec').write_bytes(content)
  if listed:
    (folder / 'train.idx').write_bytes(index)
  found = _build(folder, 'skip', len(content))
  if len(data) % _BOTH_WAYS == 0:
    strict = _build(folder, 'error', len(content))
    # What is refused has something left out, what is not has nothing.
    if strict != (found if found and not found[0] else None):
      raise AssertionError(f"on_error: 'skip' {found}, 'error' {strict}")
  return found is not None and not found[0]


def _build(folder, on_error, size):
  try:
    source = records_source.build(
      root=os.fspath(folder),
      on_error=on_error,
      # A file is no folder: nothing is kept.
      index_dir=os.fspath(folder / 'train.rec'),
    )
    return source.num_left_out, source.fingerprint, _read_all(source, size)
  except errors.UserError:
    return None


def _read_all(source, size):
  labels = source.labels
  if not 0 <= labels.min() <= labels.max() < source.num_classes:
    raise AssertionError(f'labels {labels}, {source.num_classes} classes')
  encoded = source.read(np.arange(source.num_rows))
  if sum(map(len, encoded)) > size:
    raise AssertionError('more bytes in images than in the file')
  return [source.name(row) for row in range(source.num_rows)]


def _packs(_) -> Target:
  encoded = [b'\xff\xd8image', b'\x89PNG\n', b'', b'\0\\\'"']
  arrays = [np.frombuffer(image, np.uint8) for image in encoded]
  flags = [True, False]
  contents = (
    (encoded, flags),
    (arrays, np.array(flags)),
    ([bytearray(x) for x in encoded], tuple(np.array(flags))),
  )
  seeds = [
    pickle.dumps(content, protocol)
    for content in contents
    for protocol in range(6)
  ]
  # As Python 2 writes strings.
  seeds.append(b"((lp0\nS'\\xff\\xd8'\naS'b'\na(lp1\nI01\natp2\n.")
  tokens = [bytes([code]) for code in b'(.0123IJKLMNRSTUVX]abcdefghijlopqrst}']
  tokens += [bytes([code]) for code in range(0x80, 0x99)]
  tokens += [
    b'cposix\nsystem\n',
    b'cnumpy\nndarray\n',
    b'cnumpy\ndtype\n',
    b'cnumpy.core.multiarray\n_reconstruct\n',
    b'cnumpy._core.numeric\n_frombuffer\n',
    b'c_codecs\nencode\n',
    b'\x8c\x05numpy\x8c\x05dtype\x93',
    b"(S'id'\nios\nsystem\n",
    b'\x8e' + b'\xff' * 8,
    b'T\xff\xff\xff\xff',
    b'\x95' + b'\xff' * 7 + b'\x7f',
    b'r\xff\xff\xff\xff',
    b'(' * 200,
    b']' * 200 + b'a' * 199,
    b'\x94' * 200,
    b'2' * 200,
  ]
  return Target(seeds, tokens, _try_pack)


def _try_pack(data):
  try:
    pack = packs.loads(data)
  except ValueError:
    return False
  if len(pack.images) != 2 * len(pack.same) or not len(pack.same):
    raise AssertionError(f'{len(pack.images)} images, {len(pack.same)} flags')
  for image in set(pack.images):
    if type(image) is not bytes or len(image) > len(data):
      raise AssertionError(f'an image of {len(image)} bytes')
  return True


def _images(_) -> Target:
  pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 4), np.uint8)
  deep = pixels[..., :3].astype(np.uint16) * 257
  kinds = (
    ('.jpg', pixels[..., :3], []),
    ('.jpg', pixels[..., 0], []),
    ('.jpg', pixels[..., :3], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    ('.jpg', pixels[..., :3], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
    ('.png', pixels[..., :3], []),
    ('.png', pixels, []),
    ('.png', deep, []),
    ('.png', pixels[..., 0] & 128, [cv2.IMWRITE_PNG_BILEVEL, 1]),
    ('.bmp', pixels[..., :3], []),
    ('.bmp', pixels[..., 0], []),
    ('.webp', pixels[..., :3], []),
    ('.webp', pixels, [cv2.IMWRITE_WEBP_QUALITY, 101]),
  )
  seeds = [cv2.imencode(*kind)[1].tobytes() for kind in kinds]
  tokens = [b'\xff' + bytes([code]) for code in range(0xC0, 0xFF)]
  tokens += [
    b'\xff\xc0\0\x11\x08\x75\x30\x75\x30\x03',
    b'\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0',
    *(b'IHDR', b'PLTE', b'IDAT', b'tRNS', b'IEND', b'acTL', b'fcTL', b'iCCP'),
    *(b'BM', b'RIFF', b'WEBP', b'VP8 ', b'VP8L', b'VP8X', b'ANIM', b'ALPH'),
    struct.pack('>II', 30000, 30000),
    struct.pack('<ii', 30000, -30000),
  ]
  return Target(seeds, tokens, _try_image)


def _try_image(data):
  # Else a reader of PNG sees the wrong sums, and nothing behind them.
  files = {data, _with_sums(data)}
  return any([_try_pixels(file) for file in sorted(files)])


def _try_pixels(data):
  try:
    pixels = images.decode(data, 8)
  except errors.UserError:
    return False
  if pixels.shape != (8, 8, 3) or pixels.dtype != np.uint8:
    raise AssertionError(f'pixels {pixels.dtype} {pixels.shape}')
  return True


def _with_sums(data):
  """A PNG file with the check sums of its parts put right."""
  if not data.startswith(_PNG):
    return data
  fixed = bytearray(data)
  at = len(_PNG)
  while at + 12 <= len(fixed):
    end = at + 8 + struct.unpack_from('>I', fixed, at)[0]
    if end + 4 > len(fixed):
      break
    struct.pack_into('>I', fixed, end, zlib.crc32(fixed[at + 4 : end]))
    at = end + 4
  return bytes(fixed)


TARGETS = {'records': _records, 'packs': _packs, 'images': _images}

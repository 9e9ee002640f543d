"""The size that an encoded image declares, read without decoding it.

A few kilobytes can declare gigabytes, which decoders allocate before they look
any further.
"""

import struct

_JPEG = b'\xff\xd8'
_PNG = b'\x89PNG\r\n\x1a\n'
# Markers of frame headers: C0 .. CF but for Huffman tables (C4), JPG (C8) and
# arithmetic-coding tables (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_SCAN = b'\xff\xda'
# Start of image, end of image, start of scan: there is no frame header after.
_NO_FRAME_AFTER = frozenset((0xD8, 0xD9, 0xDA))
# Restarts and a temporary marker: no length follows.
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))


def declared(encoded: bytes) -> tuple[str, int, int, int]:
  """Reads the header of an image file.

  Returns:
    kind: 'JPEG', 'PNG', 'BMP' or 'WebP'; '' if it is none of them.
    height: in pixels; 0 where there is no valid header.
    width: likewise.
    scans: how often a progressive JPEG goes over the image; 1 for all others.
  """
  if encoded[:2] == _JPEG:
    return 'JPEG', *_jpeg(encoded)
  if encoded[:8] == _PNG:
    kind, size = 'PNG', _png
  elif encoded[:2] == b'BM':
    kind, size = 'BMP', _bmp
  elif encoded[:4] == b'RIFF' and encoded[8:12] == b'WEBP':
    kind, size = 'WebP', _webp
  else:
    return '', 0, 0, 1
  try:
    return kind, *size(encoded), 1
  except struct.error:  # it ends within the header
    return kind, 0, 0, 1


def _jpeg(encoded) -> tuple[int, int, int]:
  """(height, width, scans), 0, 0, 1 where there is no frame header.

  It is looked for as libjpeg does (next_marker of jdmarker.c).
  """
  at = 2
  last = len(encoded) - 9
  while at <= last:
    if encoded[at] != 0xFF:
      at = encoded.find(b'\xff', at)
      if at < 0:
        break
      continue
    marker = encoded[at + 1]
    if marker in _FRAMES:
      height = encoded[at + 5] << 8 | encoded[at + 6]
      width = encoded[at + 7] << 8 | encoded[at + 8]
      scans = encoded.count(_SCAN) if marker in _PROGRESSIVE else 1
      return height, width, scans
    if marker == 0xFF:
      at += 1
    elif marker == 0 or marker in _ALONE:
      at += 2
    elif marker in _NO_FRAME_AFTER:
      break
    else:
      at += 2 + (encoded[at + 2] << 8 | encoded[at + 3])
  return 0, 0, 1


def _png(encoded) -> tuple[int, int]:
  """(height, width), as of those below; 0 where there is no valid header.

  So it is too where a chunk does not end within the file, or the end comes
  before any pixels: OpenCV looks for them beyond it, and allocates what a
  chunk's length says, up to 2 GB, before it reads it.
  """
  if encoded[12:16] != b'IHDR':
    return 0, 0
  at, chunk, has_pixels = 8, b'', False
  while chunk != b'IEND' and at < len(encoded):
    length, chunk = struct.unpack_from('>I4s', encoded, at)
    at += 12 + length  # the two, and a checksum
    has_pixels |= chunk == b'IDAT'
  if at > len(encoded) or not has_pixels:
    return 0, 0
  width, height = struct.unpack_from('>II', encoded, 16)
  return height, width


def _bmp(encoded) -> tuple[int, int]:
  [header_bytes] = struct.unpack_from('<I', encoded, 14)
  form = '<HH' if header_bytes == 12 else '<ii'
  width, height = struct.unpack_from(form, encoded, 18)
  return abs(height), abs(width)  # lines go downwards where it is negative


def _webp(encoded) -> tuple[int, int]:
  chunk = encoded[12:16]
  if chunk == b'VP8X':
    w, w_high, h, h_high = struct.unpack_from('<HBHB', encoded, 24)
    return 1 + (h | h_high << 16), 1 + (w | w_high << 16)
  if chunk == b'VP8L':
    [bits] = struct.unpack_from('<I', encoded, 21)
    return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
  if chunk == b'VP8 ':
    width, height = struct.unpack_from('<HH', encoded, 26)
    return height & 0x3FFF, width & 0x3FFF
  return 0, 0

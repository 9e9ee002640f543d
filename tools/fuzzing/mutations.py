"""Files broken in the ways that break readers."""

import random
import struct
from collections.abc import Sequence

MAX_BYTES = 1 << 14
_MAX_EDITS = 8
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF)
_WORDS = (
  0x7FFFFFFF,
  0x80000000,
  0xFFFFFFFF,
  0x1FFFFFFF,
  0x20000000,
  0x40000000,
  0x60000000,
  0x7FC00000,  # NaN
  0x7F800000,  # infinity
  0x3F000000,  # 0.5
  0xBF800000,  # -1
  0x4B800000,  # 2^24
)

# An edit: which, where, with what.
Edit = tuple[int, int, int]


def draw_edits(draw: random.Random) -> list[Edit]:
  """One to eight edits; few are likelier."""
  count = min(1 + int(draw.expovariate(0.6)), _MAX_EDITS)
  return [
    (draw.getrandbits(8), draw.getrandbits(24), draw.getrandbits(32))
    for _ in range(count)
  ]


def apply(
  data: bytes, edits: Sequence[Edit], other: bytes, tokens: Sequence[bytes]
) -> bytes:
  """Edits a file.

  Args:
    data: the file.
    edits: in order; any integers from 0 will do.
    other: another file of the kind, to take pieces from.
    tokens: byte strings that mean something in such files.
  """
  edited = bytearray(data)
  for which, place, value in edits:
    at = place % (len(edited) + 1)
    _EDITS[which % len(_EDITS)](edited, at, value, other, tokens)
    del edited[MAX_BYTES:]
  return bytes(edited)


def _flip_bit(data, at, value, other, tokens):
  if at < len(data):
    data[at] ^= 1 << value % 8


def _set_byte(data, at, value, other, tokens):
  data[at : at + 1] = bytes([value % 256])


def _set_number(data, at, value, other, tokens):
  data[at : at + 1] = bytes([_NUMBERS[value % len(_NUMBERS)] & 0xFF])


def _set_word(data, at, value, other, tokens):
  order = '<I' if value & 1 else '>I'
  word = (*_NUMBERS, *_WORDS)[(value >> 1) % (len(_NUMBERS) + len(_WORDS))]
  if value >> 8 & 1:
    at -= at % 4
  data[at : at + 4] = struct.pack(order, word)


def _add_to_word(data, at, value, other, tokens):
  at -= at % 4
  if at + 4 <= len(data):
    word = struct.unpack_from('<I', data, at)[0] + value % 33 - 16
    struct.pack_into('<I', data, at, word & 0xFFFFFFFF)


def _insert_token(data, at, value, other, tokens):
  data[at:at] = tokens[value % len(tokens)]


def _set_token(data, at, value, other, tokens):
  token = tokens[value % len(tokens)]
  data[at : at + len(token)] = token


def _delete(data, at, value, other, tokens):
  del data[at : at + 1 + value % 32]


def _repeat(data, at, value, other, tokens):
  piece = data[at : at + 1 + value % 64]
  data[at:at] = piece * (1 + (value >> 8) % 4)


def _cut_off(data, at, value, other, tokens):
  del data[at:]


def _splice(data, at, value, other, tokens):
  start = value % (len(other) + 1)
  data[at:] = other[start:]


def _insert_digits(data, at, value, other, tokens):
  data[at:at] = str(value >> value % 32).encode()


_EDITS = (
  _flip_bit,
  _set_byte,
  _set_number,
  _set_word,
  _set_word,
  _add_to_word,
  _insert_token,
  _set_token,
  _delete,
  _repeat,
  _cut_off,
  _splice,
  _insert_digits,
)

"""What follows the instructions of a pickle: numbers, lines, counted bytes."""

import struct

_MAX_LINE_DIGITS = 20


class Reader:
  """Reads a pickle from its start; ValueError where it promises too much."""

  def __init__(self, data: bytes):
    self._data, self._at = data, 0

  def _take(self, length):
    at = self._at
    if length < 0 or length > len(self._data) - at:
      raise ValueError(
        f'{length} bytes are declared, and {len(self._data) - at} are left'
      )
    self._at = at + length
    return self._data[at : self._at]

  def _number(self, format):
    return struct.unpack(format, self._take(struct.calcsize(format)))[0]

  def _line(self):
    end = self._data.find(b'\n', self._at)
    if end < 0:
      raise ValueError('a line without an end')
    line = self._data[self._at : end]
    self._at = end + 1
    return line

  def _line_number(self):
    line = self._line()
    if len(line) > _MAX_LINE_DIGITS:
      raise ValueError(f'a number of {len(line)} digits')
    return int(line.removesuffix(b'L'))

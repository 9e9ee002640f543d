"""The names in a pickle of bytes and numpy arrays, and what they stand for.

No name is imported: each is known by its spelling, and what it would do to its
arguments is done here.
"""

import math

_MAX_DIMS = 32

_MULTIARRAY = ('numpy.core.multiarray', 'numpy._core.multiarray')
_NUMERIC = ('numpy.core.numeric', 'numpy._core.numeric')
_BUILTINS = ('__builtin__', 'builtins')
_NAMES = {
  ('numpy', 'ndarray'): 'ndarray',
  ('numpy', 'dtype'): 'dtype',
  ('_codecs', 'encode'): 'encode',
  **{(module, 'bytes'): 'bytes' for module in _BUILTINS},
  **{(module, 'bytearray'): 'bytes' for module in _BUILTINS},
  **{(module, '_reconstruct'): 'reconstruct' for module in _MULTIARRAY},
  **{(module, 'scalar'): 'scalar' for module in _MULTIARRAY},
  **{(module, '_frombuffer'): 'frombuffer' for module in _NUMERIC},
}
_DTYPES = {
  **dict.fromkeys(('u1', '|u1', 'uint8', 'B'), 'uint8'),
  **dict.fromkeys(('b1', '|b1', 'bool', '?'), 'bool'),
}
_BOOLS = {b'\0': False, b'\1': True}
_LATIN_1 = ('latin1', 'latin-1', 'latin_1')


class Array:
  """A numpy array of uint8 or bool.

  Attributes:
    dtype: 'uint8' or 'bool'; '' while it is not filled yet.
    shape: tuple of int.
    data: its bytes, as they lie in memory.
  """

  def __init__(self):
    self.dtype, self.shape, self.data = '', (), b''


class Name:
  """What stands on the stack for a global: never the thing itself."""

  def __init__(self, kind):
    self.kind = kind


class DType:
  """A numpy type, 'uint8' or 'bool'."""

  def __init__(self, name):
    self.name = name


def text(value) -> str:
  """A string, which Python 2 has as bytes."""
  if isinstance(value, bytes):
    return value.decode('latin-1')
  if not isinstance(value, str):
    raise ValueError('a name that is no string')
  return value


def find(module, name) -> Name:
  """What is put in place of a global.

  Raises:
    ValueError: if it is none of those that bytes and arrays need.
  """
  module, name = text(module), text(name)
  if (module, name) not in _NAMES:
    raise ValueError(
      f'it names the global {f"{module}.{name}"[:200]!r}, which no list of '
      'images needs; nothing of it was run'
    )
  return Name(_NAMES[module, name])


def call(kind: str, arguments: tuple):
  """What the function of this kind makes of its arguments.

  Raises:
    ValueError: if that is not bytes, bool, or an array of uint8 or bool.
  """
  if kind == 'reconstruct':
    return Array()
  if kind == 'dtype' and arguments:
    name = text(arguments[0])
    if name not in _DTYPES:
      raise ValueError(
        f'a numpy type {name[:40]!r}; only uint8 and bool are read'
      )
    return DType(_DTYPES[name])
  if kind == 'scalar' and len(arguments) == 2:
    return _bool(*arguments)
  if kind == 'frombuffer' and len(arguments) == 4:
    buffer, dtype, shape, _ = arguments
    return _fill(Array(), shape, dtype, buffer)
  if kind == 'bytes' and not arguments:
    return b''
  if kind == 'bytes' and len(arguments) == 1:
    return _same_bytes(*arguments)
  if kind in ('bytes', 'encode') and len(arguments) == 2:
    return _encode(*arguments)
  raise ValueError(f'an unknown use of {kind}')


def set_state(target: Array | DType, state: tuple) -> None:
  """What `__setstate__` of an array or a type does.

  Raises:
    ValueError: if it is not one of uint8 or bool.
  """
  if isinstance(target, DType):
    # (version, byte order, no part types, no names, no fields, ...)
    if not 5 <= len(state) <= 9 or state[2:5] != (None, None, None):
      raise ValueError('a numpy type of several parts')
  elif len(state) in (4, 5):
    shape, dtype, _, data = state[-4:]
    _fill(target, shape, dtype, data)
  else:
    raise ValueError('an unknown state of a numpy array')


def _bool(dtype, value):
  if not isinstance(dtype, DType) or dtype.name != 'bool':
    raise ValueError('a number of numpy that is no bool')
  if not isinstance(value, bytes) or value not in _BOOLS:
    raise ValueError('a bool of numpy that is neither 0 nor 1')
  return _BOOLS[value]


def _same_bytes(value):
  if not isinstance(value, bytes):
    raise ValueError('bytes of what are no bytes')
  return value


def _encode(value, encoding):
  if not isinstance(value, str) or text(encoding) not in _LATIN_1:
    raise ValueError('bytes that are not encoded as latin-1')
  return value.encode('latin-1')


def _fill(array, shape, dtype, data):
  is_shape = (
    isinstance(shape, tuple)
    and len(shape) <= _MAX_DIMS
    and all(type(n) is int and n >= 0 for n in shape)
  )
  if (
    not isinstance(dtype, DType) or not isinstance(data, bytes) or not is_shape
  ):
    raise ValueError('a numpy array that is not of bytes')
  if math.prod(shape) != len(data):
    raise ValueError(f'a numpy array of shape {shape} and of {len(data)} bytes')
  array.shape, array.dtype, array.data = shape, dtype.name, data
  return array

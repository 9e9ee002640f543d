"""Pickles of lists, tuples, bytes, bools and numpy bytes; nothing else.

A pickle is a program: Python's own reader imports what it names and calls it.
This one knows the instructions that such data takes (see `pickletools`) and no
way to import or call. The few names that bytes and numpy arrays need, as Python
2 and 3 and the numpy of ten years write them, are told apart by their spelling,
and what they would do is done here. What a hostile pickle can make of n bytes
is bounded by a small multiple of n.
"""

import codecs
import dataclasses
import io
import math
import pickletools
import re

# What a pickle makes is paid for with its bytes: an instruction so many, two
# characters made into bytes one. In honest packs there are hundreds of bytes to
# every few lists, of which each takes one byte of pickle and 60 of memory.
_PRICE = 8
_FREE_BYTES = 800_000  # what it may spend beyond its length

_KINDS = {
  'numpy.ndarray': 'ndarray',
  'numpy.dtype': 'dtype',
  'numpy.core.multiarray._reconstruct': 'array',
  'numpy.core.multiarray.scalar': 'scalar',
  'numpy.core.numeric._frombuffer': 'frombuffer',
  '_codecs.encode': 'bytes',
  'builtins.bytes': 'bytes',
  'builtins.bytearray': 'bytes',
}
_DTYPES = {
  # Strings of Python 2 are bytes.
  **dict.fromkeys(('u1', b'u1', '|u1', 'uint8', 'B'), 'uint8'),
  **dict.fromkeys(('b1', b'b1', '|b1', 'bool', '?'), 'bool'),
}

# The repr() of a string of Python 2, and an escape that it does not have.
_QUOTED = re.compile(rb'\s*(\'.*\'|".*")\s*', re.DOTALL)
_BAD_ESCAPE = re.compile(rb'\\(?![\'"nrt]|x[0-9a-fA-F]{2})')


@dataclasses.dataclass(eq=False)
class Array:
  """A numpy array of 'uint8' or 'bool'; its bytes as they lie in memory."""

  dtype: str = ''  # until it is filled
  shape: tuple[int, ...] = ()
  data: bytes = b''


@dataclasses.dataclass(eq=False)
class _Name:
  """What stands for a global or a numpy type: never the thing itself."""

  kind: str  # one of the values of _KINDS or _DTYPES


def loads(data: bytes):
  """What a pickle of any protocol holds.

  A string of Python 2 and a bytearray come as bytes, a numpy array as an
  `Array`, a bool of numpy as a bool, and the rest as it is.

  Raises:
    ValueError: if it is cut off, names a global or holds an instruction that
      such data does not need, or is made to blow up; the message tells the
      byte and, if so, the name. Nothing of it has been run.
  """
  machine = _Machine(data)
  try:
    return machine.run()
  except (ValueError, LookupError) as error:
    is_ours = isinstance(error, ValueError)
    what = error if is_ours else 'it takes what is not there'
    raise ValueError(f'at byte {machine.start}: {what}') from error


class _Machine:
  """A part of pickle's stack machine; LookupError where a stack is empty."""

  def __init__(self, data):
    self.start = 0  # of the present instruction
    self.stack = []
    self.memo = {}
    self._below = []  # the stacks under the marks
    self._file = io.BytesIO(data)
    self._budget = _FREE_BYTES + len(data)

  def run(self):
    while True:
      self.start = self._file.tell()
      code = self._file.read(1)
      opcode = pickletools.code2op.get(code.decode('latin-1'))
      if opcode is None:
        what = f'{code!r} is no instruction of a pickle'
        raise ValueError(what if code else 'it is cut off')
      if opcode.name == 'STOP':
        return self.stack.pop()
      if opcode.name not in _STEPS:
        raise ValueError(
          f'the instruction {opcode.name}, which no list of images needs'
        )
      self._pay(_PRICE)
      read = _READERS.get(opcode.name, opcode.arg and opcode.arg.reader)
      arguments = [read(self._file)] if read else []
      _STEPS[opcode.name](self, *arguments)

  def _pay(self, price):
    self._budget -= price
    if self._budget < 0:
      raise ValueError('it makes more than its length can have meant')

  def push(self, value):
    self.stack.append(value)

  def tuple_of(self, count):
    items = [self.stack.pop() for _ in range(count)]
    self.push(tuple(reversed(items)))

  def mark(self):
    self._below.append(self.stack)
    self.stack = []

  def pop_mark(self):
    items, self.stack = self.stack, self._below.pop()
    return items

  def extend(self, items):
    if type(self.stack[-1]) is not list:
      raise ValueError('a list is expected on the stack')
    self.stack[-1].extend(items)

  def keep(self, place=None):
    place = len(self.memo) if place is None else place
    self.memo[place] = self.stack[-1]

  def name(self, module, name):
    if not isinstance(module, str) or not isinstance(name, str):
      raise ValueError('a name that is no string')
    full = f'{module}.{name}'
    known = full.replace('numpy._core.', 'numpy.core.')
    known = known.replace('__builtin__.', 'builtins.')
    if known not in _KINDS:
      raise ValueError(
        f'it names the global {full[:200]!r}, which no list of images needs; '
        'nothing of it was run'
      )
    self.push(_Name(_KINDS[known]))

  def call(self):
    """Makes what the call of a name would return."""
    arguments, function = self.stack.pop(), self.stack.pop()
    match function, arguments:
      case _Name('array'), _:
        value = Array()
      case _Name('dtype'), (str() | bytes() as name, *_):
        if name not in _DTYPES:
          raise ValueError(
            f'a numpy type {name[:40]!r}; only uint8 and bool are read'
          )
        value = _Name(_DTYPES[name])
      case _Name('scalar'), (_Name('bool'), b'\0' | b'\1' as content):
        value = content == b'\1'
      case _Name('frombuffer'), (content, dtype, shape, _):
        value = _fill(Array(), shape, dtype, content)
      case _Name('bytes'), () | (bytes(),):
        value = b''.join(arguments)
      case _Name('bytes'), (str() as text, 'latin1' | 'latin-1'):
        # One kept text could be made into bytes again and again.
        self._pay(len(text) // 2)
        value = text.encode('latin-1')
      case _:
        raise ValueError('a call that no bytes or arrays need')
    self.push(value)

  def build(self):
    """What `__setstate__` of an array or a type does."""
    state = self.stack.pop()
    match self.stack[-1], state:
      case Array() as array, (*_, shape, dtype, _, content):
        _fill(array, shape, dtype, content)
      # (version, byte order, no part types, no names, no fields, ...)
      case _Name('uint8' | 'bool'), (_, _, None, None, None, *_):
        pass
      case _:
        raise ValueError('a state that no numpy array or type has')


def _fill(array, shape, dtype, content) -> Array:
  match shape, dtype, content:
    case tuple(), _Name('uint8' | 'bool'), bytes() if len(shape) <= 32:
      is_shape = all(type(n) is int and n >= 0 for n in shape)
      if is_shape and math.prod(shape) == len(content):
        array.shape, array.dtype, array.data = shape, dtype.kind, content
        return array
  raise ValueError('a numpy array that is not of bytes, or of another length')


def _line(file):
  return pickletools.read_stringnl(file, decode=False, stripquotes=False)


def _string(file) -> bytes:
  quoted = _QUOTED.fullmatch(_line(file))
  if not quoted or _BAD_ESCAPE.search(quoted[1].replace(rb'\\', b'..')):
    raise ValueError('a string without quotes, or with an unknown escape')
  return codecs.escape_decode(quoted[1][1:-1])[0]


# How what follows is read where `pickletools` does otherwise.
_READERS = {
  'STRING': _string,
  'BINSTRING': pickletools.read_bytes4,
  'SHORT_BINSTRING': pickletools.read_bytes1,
  'BYTEARRAY8': pickletools.read_bytes8,
  'GLOBAL': lambda file: [_line(file).decode('latin-1') for _ in range(2)],
}
_M = _Machine
_STEPS = {
  **dict.fromkeys(('PROTO', 'FRAME'), lambda m, number: None),
  'NONE': lambda m: m.push(None),
  'NEWTRUE': lambda m: m.push(True),
  'NEWFALSE': lambda m: m.push(False),
  **dict.fromkeys(('INT', 'BININT', 'BININT1', 'BININT2'), _M.push),
  **dict.fromkeys(('LONG', 'LONG1', 'BYTEARRAY8'), _M.push),
  **dict.fromkeys(('STRING', 'BINSTRING', 'SHORT_BINSTRING'), _M.push),
  **dict.fromkeys(('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'), _M.push),
  **dict.fromkeys(('UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE'), _M.push),
  'EMPTY_LIST': lambda m: m.push([]),
  'LIST': lambda m: m.push(m.pop_mark()),
  'APPEND': lambda m: m.extend([m.stack.pop()]),
  'APPENDS': lambda m: m.extend(m.pop_mark()),
  'EMPTY_TUPLE': lambda m: m.push(()),
  'TUPLE1': lambda m: m.tuple_of(1),
  'TUPLE2': lambda m: m.tuple_of(2),
  'TUPLE3': lambda m: m.tuple_of(3),
  'TUPLE': lambda m: m.push(tuple(m.pop_mark())),
  'MARK': _M.mark,
  **dict.fromkeys(
    ('GET', 'BINGET', 'LONG_BINGET'), lambda m, place: m.push(m.memo[place])
  ),
  **dict.fromkeys(('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'), _M.keep),
  'GLOBAL': lambda m, names: m.name(*names),
  'STACK_GLOBAL': lambda m: m.name(m.stack.pop(-2), m.stack.pop()),
  'REDUCE': _M.call,
  'BUILD': _M.build,
}

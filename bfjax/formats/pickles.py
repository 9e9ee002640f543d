"""Pickles of lists, tuples, bytes, bools and numpy bytes; nothing else.

A pickle is a program: Python's own reader imports what it names and calls it.
This one knows the instructions that such data takes and no way to import or
call. The few names that bytes and numpy arrays need, as Python 2 and 3 and the
numpy of ten years write them, are told apart by their spelling. What a hostile
pickle can make of n bytes is bounded by a small multiple of n.

The instructions: https://docs.python.org/3/library/pickletools.html.
"""

import codecs
import pickletools
import re

from bfjax.formats import picklebytes, picklenames

# What a pickle may make before its length is asked.
_FREE = 100_000
# One list or tuple takes some 60 bytes, and one byte of pickle; in honest
# packs there is an image of hundreds of bytes to a handful of them.
_BYTES_PER_OBJECT = 16
_BYTES_PER_STEP = 4
_MAX_INT_BYTES = 8

# An escape that the repr() of a Python 2 string does not have.
_BAD_ESCAPE = re.compile(rb'\\(?![\'"nrt]|x[0-9a-fA-F]{2})')


def loads(data: bytes):
  """What the pickle holds.

  Lists, tuples, bytes, str, bool, int and None come as they are (a string of
  Python 2 and a bytearray as bytes), a numpy array as a `picklenames.Array`, a
  bool of numpy as a bool.

  Args:
    data: the pickle, of any protocol.

  Raises:
    ValueError: if it is cut off, names a global or holds an instruction that
      such data does not need, or is made to blow up; the message tells the
      byte and, if so, the name. Nothing of it has been run.
  """
  machine = _Machine(data)
  try:
    return machine.run()
  except ValueError as error:
    raise ValueError(f'at byte {machine.start}: {error}') from error


class _Machine(picklebytes.Reader):
  """The stack machine of pickle, of which a part."""

  def __init__(self, data):
    super().__init__(data)
    self.start = 0  # of the present instruction
    self._stack = []
    self._below = []  # the stacks under the marks
    self._memo = {}
    self._objects = _FREE + len(data) // _BYTES_PER_OBJECT
    self._steps = _FREE + len(data) // _BYTES_PER_STEP
    self._decoded = len(data)

  def run(self):
    while True:
      self.start = self._at
      code = self._take(1)
      if code == b'.':
        return self._pop()
      self._steps -= 1
      if self._steps < 0:
        raise ValueError('too many instructions for its length')
      step = _STEPS.get(code)
      if step is None:
        raise ValueError(_not_allowed(code))
      step(self)

  # The stack and the memo.

  def _make(self, value):
    """Pushes something that takes memory."""
    self._charge()
    self._stack.append(value)

  def _charge(self):
    self._objects -= 1
    if self._objects < 0:
      raise ValueError('too many objects for its length')

  def _pop(self):
    if not self._stack:
      raise ValueError('the stack is empty')
    return self._stack.pop()

  def _top(self, kind, what):
    if not self._stack or not isinstance(self._stack[-1], kind):
      raise ValueError(f'{what} is expected on the stack')
    return self._stack[-1]

  def mark(self):
    self._charge()
    self._below.append(self._stack)
    self._stack = []

  def _pop_mark(self):
    if not self._below:
      raise ValueError('no mark on the stack')
    items = self._stack
    self._stack = self._below.pop()
    return items

  def pop(self):
    if self._stack:
      self._stack.pop()
    else:
      self._pop_mark()

  def put(self, index):
    if index not in self._memo:
      self._charge()
    if not self._stack:
      raise ValueError('the stack is empty')
    self._memo[index] = self._stack[-1]

  def memoize(self):
    self.put(len(self._memo))

  def get(self, index):
    if index not in self._memo:
      raise ValueError(f'nothing is kept under {index}')
    self._stack.append(self._memo[index])

  # Values.

  def constant(self, value):
    self._stack.append(value)

  def integer_line(self):
    line = self._data[self._at : self._at + 3]
    value = self._line_number()
    # Python 2 writes bools so.
    self._stack.append({b'00\n': False, b'01\n': True}.get(line, value))

  def long(self, format):
    length = self._number(format)
    if length > _MAX_INT_BYTES:
      raise ValueError(f'an integer of {length} bytes')
    self._stack.append(
      int.from_bytes(self._take(length), 'little', signed=True)
    )

  def counted_bytes(self, format):
    self._make(bytes(self._take(self._number(format))))

  def counted_text(self, format):
    text = self._take(self._number(format))
    self._make(text.decode('utf-8', 'surrogatepass'))

  def string_line(self):
    line = self._line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b'"', b"'"):
      raise ValueError('a string without quotes')
    if _BAD_ESCAPE.search(line[1:-1].replace(rb'\\', b'..')):
      raise ValueError('a string with an unknown escape')
    self._make(codecs.escape_decode(line[1:-1])[0])

  def text_line(self):
    self._make(self._line().decode('raw-unicode-escape'))

  # Lists and tuples.

  def list_from_mark(self):
    self._make(self._pop_mark())

  def tuple_from_mark(self):
    self._make(tuple(self._pop_mark()))

  def tuple_of(self, count):
    items = [self._pop() for _ in range(count)]
    self._make(tuple(reversed(items)))

  def empty_list(self):
    self._make([])

  def append(self):
    value = self._pop()
    self._top(list, 'a list').append(value)

  def appends(self):
    items = self._pop_mark()
    self._top(list, 'a list').extend(items)

  # Names, and what they do to the data.

  def instance(self):
    picklenames.find(self._line(), self._line())
    raise ValueError('an instance, which no list of images holds')

  def name(self):
    self._make(picklenames.find(self._line(), self._line()))

  def stack_name(self):
    name, module = self._pop(), self._pop()
    self._make(picklenames.find(module, name))

  def reduce(self):
    arguments = self._pop()
    function = self._pop()
    is_name = isinstance(function, picklenames.Name)
    if not is_name or not isinstance(arguments, tuple) or len(arguments) > 4:
      raise ValueError('a call that no bytes or arrays need')
    # One kept text could be made into bytes again and again.
    self._decoded -= sum(len(x) for x in arguments if isinstance(x, str))
    if self._decoded < 0:
      raise ValueError('more bytes than it is long')
    self._make(picklenames.call(function.kind, arguments))

  def build(self):
    state = self._pop()
    if not isinstance(state, tuple):
      raise ValueError('a state that is no tuple')
    kinds = (picklenames.Array, picklenames.DType)
    picklenames.set_state(self._top(kinds, 'a numpy array or type'), state)

  def skip_protocol(self):
    self._take(1)

  def skip_frame(self):
    length = self._number('<Q')
    if length > len(self._data) - self._at:
      raise ValueError(
        f'{length} bytes are declared, and {len(self._data) - self._at} are '
        'left'
      )


def _not_allowed(code):
  known = pickletools.code2op.get(code.decode('latin-1'))
  if known is None:
    return f'{code!r} is no instruction of a pickle'
  return f'the instruction {known.name}, which no list of images needs'


def _with(step, *arguments):
  """`step` with arguments that are known beforehand."""
  return lambda machine: step(machine, *arguments)


def _read(step, read):
  """`step` with an argument that follows the instruction."""
  return lambda machine: step(machine, read(machine))


_M = _Machine
_STEPS = {
  b'\x80': _M.skip_protocol,
  b'\x95': _M.skip_frame,
  b'(': _M.mark,
  b'0': _M.pop,
  b'1': _M._pop_mark,
  b'N': _with(_M.constant, None),
  b'\x88': _with(_M.constant, True),
  b'\x89': _with(_M.constant, False),
  b'I': _M.integer_line,
  b'L': _read(_M.constant, _M._line_number),
  **{
    code: _read(_M.constant, _with(_M._number, format))
    for code, format in {b'J': '<i', b'K': '<B', b'M': '<H'}.items()
  },
  b'\x8a': _with(_M.long, '<B'),
  b'\x8b': _with(_M.long, '<i'),
  b'S': _M.string_line,
  b'V': _M.text_line,
  **dict.fromkeys((b'U', b'C'), _with(_M.counted_bytes, '<B')),
  b'T': _with(_M.counted_bytes, '<i'),
  b'B': _with(_M.counted_bytes, '<I'),
  **dict.fromkeys((b'\x8e', b'\x96'), _with(_M.counted_bytes, '<Q')),
  b'\x8c': _with(_M.counted_text, '<B'),
  b'X': _with(_M.counted_text, '<I'),
  b'\x8d': _with(_M.counted_text, '<Q'),
  b']': _M.empty_list,
  b'a': _M.append,
  b'e': _M.appends,
  b'l': _M.list_from_mark,
  **{
    code: _with(_M.tuple_of, count)
    for count, code in enumerate((b')', b'\x85', b'\x86', b'\x87'))
  },
  b't': _M.tuple_from_mark,
  b'g': _read(_M.get, _M._line_number),
  b'h': _read(_M.get, _with(_M._number, '<B')),
  b'j': _read(_M.get, _with(_M._number, '<I')),
  b'p': _read(_M.put, _M._line_number),
  b'q': _read(_M.put, _with(_M._number, '<B')),
  b'r': _read(_M.put, _with(_M._number, '<I')),
  b'\x94': _M.memoize,
  b'c': _M.name,
  b'\x93': _M.stack_name,
  b'i': _M.instance,
  b'R': _M.reduce,
  b'b': _M.build,
}

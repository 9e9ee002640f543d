"""Optimised programs as XLA prints them: instructions, arrays, loops.

Only what a plan asks for is read: what is computed from what, of which size and
how often. The text is that of `compiled.as_text()`, for one device, in the
order in which it runs.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BITS = {'pred': 8, 'token': 0, 'opaque': 0, 'bf16': 16}
_HEADER = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$')
_INSTRUCTION = re.compile(r'\s+(ROOT )?%?([\w.\-]+) = (.*)$')
_OPCODE = re.compile(r' ([a-z][\w\-]*)\(')
_NAME = re.compile(r'%([\w.\-]+)')
_ARRAY = re.compile(r'([a-z]\w*)\[([\d,<=]*)\]')
_CALLED = re.compile(r'(?:calls|to_apply|body)=%?([\w.\-]+)')
_TRIPS = re.compile(r'known_trip_count"?[:=]\{"?n"?[:=]"?(\d+)')


@dataclasses.dataclass(frozen=True)
class Array:
  """An array's type: 'f32', 'bf16', 's32', ... and its dimensions."""

  dtype: str
  dims: tuple[int, ...]

  @property
  def elements(self) -> int:
    """How many numbers it has."""
    return math.prod(self.dims)

  @property
  def bytes(self) -> int:
    """What it takes of memory."""
    digits = re.search(r'\d+', self.dtype)
    bits = int(digits[0]) if digits else 0
    bits = _BITS.get(self.dtype, bits)
    return self.elements * bits // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a program.

  Attributes:
    name: unique in its computation.
    opcode: 'fusion', 'dot', 'all-reduce-start', ...
    type: an `Array`, or a tuple of such types.
    operands: names of what it takes, of the same computation.
    argument: what stands in the brackets, for `parameter` its number.
    attributes: the rest of the line.
    is_root: whether it is the result of its computation.
  """

  name: str
  opcode: str
  type: Array | tuple
  operands: tuple[str, ...]
  argument: str
  attributes: str
  is_root: bool

  @property
  def arrays(self) -> list[Array]:
    """All arrays of its result."""
    return list(leaves(self.type))

  @property
  def bytes(self) -> int:
    """What all of them take of memory."""
    return sum(array.bytes for array in self.arrays)

  @property
  def op_name(self) -> str:
    """Where in the traced function it comes from; '' if that is not said."""
    found = re.search(r'op_name="([^"]*)"', self.attributes)
    return found[1] if found else ''

  @property
  def called(self) -> list[str]:
    """The computations that it calls: a fusion's, a loop's body."""
    return _CALLED.findall(self.attributes)

  @property
  def trips(self) -> int:
    """How often a loop's body runs; 1 where the program does not say."""
    found = _TRIPS.search(self.attributes)
    return int(found[1]) if found else 1

  @property
  def index(self) -> int:
    """Which element a get-tuple-element takes."""
    [index] = re.findall(r'index=(\d+)', self.attributes)
    return int(index)


@dataclasses.dataclass(frozen=True)
class Computation:
  """Instructions by name, in the order in which they run."""

  name: str
  instructions: dict[str, Instruction]

  def __iter__(self) -> Iterator[Instruction]:
    return iter(self.instructions.values())

  def operands(self, instruction: Instruction) -> list[Instruction]:
    """What an instruction of it takes."""
    return [self.instructions[name] for name in instruction.operands]

  @functools.cached_property
  def parameters(self) -> list[Instruction]:
    """Its parameters, by their numbers."""
    found = [x for x in self if x.opcode == 'parameter']
    return sorted(found, key=lambda x: int(x.argument))

  @functools.cached_property
  def root(self) -> Instruction:
    """The instruction whose result is that of the whole."""
    return next(x for x in self if x.is_root)

  @functools.cached_property
  def users(self) -> dict[str, list[Instruction]]:
    """Name -> the instructions that take it."""
    found = {name: [] for name in self.instructions}
    for instruction in self:
      for name in dict.fromkeys(instruction.operands):
        found[name].append(instruction)
    return found


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled program: the computations, of which `entry` is the whole."""

  computations: dict[str, Computation]
  entry: Computation

  def kernels(self, computation: Computation | None = None, times: int = 1):
    """Yields (instruction, computation, how often) of all that is launched.

    Loops and calls are gone into, fusions are one kernel. What only renames
    memory is left out.
    """
    computation = computation or self.entry
    for x in computation:
      if x.opcode in ('while', 'call', 'conditional', 'async-start'):
        for name in x.called:
          yield from self.kernels(self.computations[name], times * x.trips)
      elif x.opcode not in RENAMING and not x.opcode.endswith('-done'):
        yield x, computation, times


# What takes no time and no memory.
RENAMING = {
  'after-all',
  'bitcast',
  'constant',
  'get-tuple-element',
  'iota',
  'opt-barrier',
  'optimization-barrier',
  'parameter',
  'partition-id',
  'replica-id',
  'tuple',
}


def leaves(type_) -> Iterator[Array]:
  """The arrays of a type, which may be a tuple of types."""
  if isinstance(type_, Array):
    yield type_
  else:
    for one in type_:
      yield from leaves(one)


def parse(text: str) -> Program:
  """Reads the text of an optimised program.

  Raises:
    ValueError: if there is no entry computation in it.
  """
  computations, entry, lines = {}, None, None
  for line in text.splitlines():
    if header := _HEADER.match(line):
      lines = {}
      computation = Computation(header[2], lines)
      computations[header[2]] = computation
      entry = computation if header[1] else entry
    elif lines is not None and (found := _INSTRUCTION.match(line)):
      instruction = _instruction(found[2], found[3], bool(found[1]))
      lines[instruction.name] = instruction
    elif line.startswith('}'):
      lines = None
  if entry is None:
    raise ValueError('the text of a program has no ENTRY computation')
  return Program(computations, entry)


def _instruction(name, text, is_root) -> Instruction:
  # The type ends where its brackets do.
  end = _closing(text, 0) if text.startswith('(') else 0
  opcode = _OPCODE.search(text, end)
  assert opcode is not None  # of every instruction
  close = _closing(text, opcode.end() - 1)
  argument = text[opcode.end() : close - 1]
  return Instruction(
    name=name,
    opcode=opcode[1],
    type=_type(text[: opcode.start()]),
    operands=tuple(_NAME.findall(argument)),
    argument=argument,
    attributes=text[close:],
    is_root=is_root,
  )


def _closing(text: str, start: int) -> int:
  """The place behind the bracket that closes the one at `start`."""
  depth = 0
  for match in re.compile(r'[()]').finditer(text, start):
    depth += 1 if match[0] == '(' else -1
    if not depth:
      return match.end()
  raise ValueError(f'brackets do not close: {text[start : start + 80]}')


def _type(text: str):
  """'f32[2,3]{1,0}' or '(f32[2], (s32[], s32[]))' as arrays."""
  text = re.sub(r'/\*.*?\*/|\{[^{}]*\}', '', text)
  stack = [[]]
  for match in re.finditer(rf'[()]|{_ARRAY.pattern}', text):
    if match[0] == '(':
      stack.append([])
    elif match[0] == ')':
      done = tuple(stack.pop())
      stack[-1].append(done)
    else:
      dims = re.sub('[<=]', '', match[2])
      dims = tuple(int(d) for d in dims.split(',') if d)
      stack[-1].append(Array(match[1], dims))
  return stack[0][0] if stack[0] else ()

"""What lies in a device's memory when it holds the most, by cause.

A program is a schedule: an array lives from the instruction that makes it to
the last one that takes it. The compiler packs what lives at different times
into the same memory; here the living arrays are summed up at every instruction.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from bfjax.planning import hlo

# Kernels that may write where they read, if nobody reads it later.
_IN_PLACE = {'add', 'convert', 'copy', 'fusion', 'multiply', 'scatter'}
_LOOPS = {'call', 'conditional', 'while'}


@dataclasses.dataclass(eq=False)
class _Buffer:
  """A piece of memory, who made it and why; `bytes` is 0 if it was there."""

  bytes: int
  cause: str
  made: int


def peak(
  program: hlo.Program,
  cause_of: Callable[[hlo.Instruction, hlo.Computation], str],
  reductions_in_place: bool = True,
) -> Counter:
  """Bytes of temporary arrays by cause, when they are the most together.

  The program's arguments, and the results that take their places, are not
  among them.

  Args:
    program: of one device.
    cause_of: an instruction and its computation -> why its result is there.
    reductions_in_place: whether a kernel that both reduces and changes an array
      in another shape may write where it reads, which the program does not say.
  """
  return _peak(program, program.entry, cause_of, reductions_in_place)


def _peak(program, computation, cause_of, reductions) -> Counter:
  values, last = {}, {}
  for when, x in enumerate(computation):
    operands = [values[name] for name in x.operands]
    cause = cause_of(x, computation)
    values[x.name] = _value(x, operands, when, cause)
    last |= dict.fromkeys(_flat(operands), when)
  for buffer in _flat(values[computation.root.name]):
    buffer.bytes = 0
  dying = defaultdict(list)
  for buffer, when in last.items():
    dying[when].append(buffer)
  now, most = Counter(), Counter()
  for when, x in enumerate(computation):
    made = [b for b in _flat(values[x.name]) if b.made == when]
    freed = dying[when] + [b for b in made if b not in last]
    if _is_in_place(program, x, reductions):
      for buffer in _reused(made, freed):
        now[buffer.cause] -= buffer.bytes
        buffer.bytes = 0
    for buffer in made:
      now[buffer.cause] += buffer.bytes
    parts = [program.computations[name] for name in x.called]
    inside = Counter()
    if x.opcode in _LOOPS:
      for part in parts:
        inside = max(
          inside, _peak(program, part, cause_of, reductions), key=Counter.total
        )
    most = max(most, now + inside, key=Counter.total)
    for buffer in freed:
      now[buffer.cause] -= buffer.bytes
  return most


def _is_in_place(program, x, reductions) -> bool:
  if x.opcode != 'fusion' or 'kind=kInput' not in x.attributes or reductions:
    return x.opcode in _IN_PLACE
  inside = {y.opcode for name in x.called for y in program.computations[name]}
  return 'scatter' in inside or 'bitcast' not in inside


def _reused(made, freed) -> Iterator[_Buffer]:
  """Of what is freed, what something made may take the place of."""
  free = list(freed)
  for buffer in made:
    for other in free:
      if other not in made and other.bytes == buffer.bytes:
        free.remove(other)
        yield other
        break


def _value(x, operands, when, cause):
  """The buffers of an instruction's result, nested as its type is."""
  if x.opcode == 'get-tuple-element':
    return operands[0][x.index]
  if x.opcode == 'tuple':
    return tuple(operands)
  if x.opcode in ('bitcast', 'while', 'opt-barrier'):
    return operands[0]
  if x.opcode.endswith('-done'):
    return (
      operands[0][1]
      if isinstance(x.type, tuple) or isinstance(operands[0], tuple)
      else operands[0]
    )
  if x.opcode.endswith('-start') and isinstance(x.type, tuple):
    # (what it takes, what it makes, ...): only the latter is new.
    return operands, _new(x.type[1], when, cause)
  if x.opcode in hlo.RENAMING:
    return _new(x.type, -1, cause)
  return _new(x.type, when, cause)


def _new(type_, when, cause):
  if isinstance(type_, hlo.Array):
    return _Buffer(type_.bytes if when >= 0 else 0, cause, when)
  return tuple(_new(one, when, cause) for one in type_)


def _flat(value) -> Iterator[_Buffer]:
  if isinstance(value, _Buffer):
    yield value
  else:
    for one in value:
      yield from _flat(one)

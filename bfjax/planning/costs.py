"""What a compiled program does: operations, traffic, collectives, passes."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from bfjax.planning import hlo

_COLLECTIVES = (
  'all-gather',
  'all-reduce',
  'all-to-all',
  'collective-permute',
  'reduce-scatter',
)
# What takes but a part of an operand.
_PICKING = {'dynamic-slice', 'gather', 'slice'}


class Kernel(NamedTuple):
  """One launch, or several of the same in a loop.

  Attributes:
    bytes: read and written, each time.
    operations: floating-point operations of its products and convolutions,
      each time: two for a multiply-add.
    precision: what these are computed in: 'bfloat16', 'tf32', 'float32', ...;
      '' where there are none.
    times: how often it is launched in a step.
    op_name: where in the traced step it comes from.
  """

  bytes: int
  operations: int
  precision: str
  times: int
  op_name: str


class Collective(NamedTuple):
  """An exchange between the devices.

  Attributes:
    kind: 'all-gather', 'all-reduce', 'reduce-scatter', ...
    bytes: of the whole array gathered, reduced or scattered.
    wire_bytes: what a device sends, in a ring.
    times: how often it happens in a step.
    op_name: where in the traced step it comes from.
  """

  kind: str
  bytes: int
  wire_bytes: int
  times: int
  op_name: str


def kernels(program: hlo.Program) -> list[Kernel]:
  """All that a device computes in a step; no collectives.

  Products of float32 that ask for no precision count as TF32, which is what a
  card computes them in.
  """
  return [
    Kernel(
      _moved(program, computation, x),
      *_operations(program, computation, x),
      times,
      op_name(computation, x),
    )
    for x, computation, times in program.kernels()
    if collective_kind(x) is None
  ]


def collectives(program: hlo.Program, devices: int) -> list[Collective]:
  """All that crosses `devices` devices in a step."""
  found = []
  for x, computation, times in program.kernels():
    kind = collective_kind(x)
    if kind is None or devices < 2:
      continue
    taken = sum(operand.bytes for operand in computation.operands(x))
    whole = taken * devices if kind == 'all-gather' else taken
    rounds = 2 if kind == 'all-reduce' else 1
    sent = rounds * whole * (devices - 1) // devices
    # Several that cross together have a name of all of them.
    of = x if len(x.operands) == 1 else _largest(computation, x)
    name = op_name(computation, of)
    found.append(Collective(kind, whole, sent, times, name))
  return found


def collective_kind(instruction: hlo.Instruction) -> str | None:
  """The collective that an instruction is or starts; None for all others."""
  name = instruction.opcode.removesuffix('-start')
  return name if name in _COLLECTIVES else None


def passes(program: hlo.Program, rows: int, classes: int) -> list[str]:
  """The kernels that read or write an array of a device's logits.

  That is one with the dimensions rows and classes. A loop over parts of it is
  one pass, whatever its rounds.

  Returns:
    their names; a loop's is that of the loop.
  """

  def is_logits(x):
    return any({rows, classes} <= set(array.dims) for array in x.arrays)

  found = []
  for x in program.entry:
    if x.opcode in hlo.RENAMING or x.opcode.endswith('-done'):
      continue
    read = _read_whole(program, program.entry, x)
    if any(is_logits(y) for y in (x, *read)):
      found.append(x.name)
  return found


def op_name(computation: hlo.Computation, x: hlo.Instruction) -> str:
  """Where an instruction comes from, or else the largest of what it takes."""
  for _ in range(5):
    if x.op_name or not x.operands:
      break
    x = _largest(computation, x)
  return x.op_name


def _largest(computation, x) -> hlo.Instruction:
  return max(computation.operands(x), key=lambda operand: operand.bytes)


def _moved(program, computation, x) -> int:
  """Bytes that a kernel reads and writes."""
  whole = _read_whole(program, computation, x)
  total = x.bytes + sum(y.bytes for y in whole)
  if x.opcode != 'fusion':
    return total
  inside = program.computations[x.called[0]]
  for parameter in inside.parameters:
    if _is_picked(inside, parameter):
      total += sum(y.bytes for y in inside.users[parameter.name])
  if inside.root.opcode == 'dynamic-update-slice':
    # What it does not write stays where it is.
    _, update = inside.operands(inside.root)[:2]
    total += 2 * (update.bytes - x.bytes)
  return total


def _read_whole(program, computation, x) -> list[hlo.Instruction]:
  """The operands of which a kernel reads more than some entries."""
  operands = computation.operands(x)
  if x.opcode in _PICKING:
    return operands[1:]
  if x.opcode != 'fusion':
    return operands
  inside = program.computations[x.called[0]]
  return [
    operand
    for operand, parameter in zip(operands, inside.parameters, strict=True)
    if not _is_picked(inside, parameter)
  ]


def _is_picked(computation, parameter) -> bool:
  """Whether nothing but some entries of a parameter are read."""
  users = computation.users[parameter.name]
  return bool(users) and all(
    user.opcode in _PICKING and user.operands[0] == parameter.name
    for user in users
  )


def _operations(program, computation, x) -> tuple[int, str]:
  """Operations of the products in a kernel, and their precision."""
  if x.opcode in ('dot', 'convolution', 'custom-call'):
    return _product(computation, x)
  total, precision = 0, ''
  for name in x.called if x.opcode == 'fusion' else []:
    inside = program.computations[name]
    for y in inside:
      count, kind = _operations(program, inside, y)
      total, precision = total + count, kind or precision
  return total, precision


def _product(computation, x) -> tuple[int, str]:
  operands = computation.operands(x)
  target = re.search(r'custom_call_target="([^"]*)"', x.attributes)
  target = target[1] if target else ''
  dims = re.search(r'dim_labels=(\w+)_(\w+)->(\w+)', x.attributes)
  if dims:
    made, left, right = (
      x.arrays[0],
      operands[0].arrays[0],
      operands[1].arrays[0],
    )
    out, filter_ = made, right
    if 'BackwardInput' in target:
      out = left
    elif 'BackwardFilter' in target:
      out, filter_ = right, made
    features = filter_.dims[dims[2].index('o')]
    macs = out.elements * filter_.elements // features
  elif contracted := re.search(
    r'lhs_contracting_dims"?[=:][{\[]"?([\d,"]+)', x.attributes
  ):
    left = operands[0].arrays[0]
    axes = [int(axis) for axis in re.findall(r'\d+', contracted[1])]
    macs = x.arrays[0].elements * math.prod(left.dims[axis] for axis in axes)
  else:
    return 0, ''
  return 2 * macs, _precision(operands[:2], x.attributes)


def _precision(operands: Iterable[hlo.Instruction], attributes: str) -> str:
  """What a product is computed in, on a card that has TF32."""
  kinds = {operand.arrays[0].dtype for operand in operands}
  algorithm = re.search(r'algorithm"?[=:]"?(?:dot|ALG_DOT)_(\w+)', attributes)
  words = algorithm[1].lower() if algorithm else ''
  if words.startswith('bf16') or kinds == {'bf16'}:
    return 'bfloat16'
  if kinds == {'f16'}:
    return 'bfloat16'  # as fast
  if words.startswith('tf32'):
    return 'tf32'
  is_full = re.search('highest|high', attributes, re.IGNORECASE)
  if 'f64' in kinds:
    return 'float64'
  return 'float32' if is_full or words else 'tf32'

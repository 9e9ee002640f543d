"""The architectures of other code bases, and which one a net is.

A table of names for each is in `ir_resnets` and `insightface`; another file of
such tables is one more line here.
"""

from collections.abc import Mapping
from typing import Any

from bfjax import errors
from bfjax.convert import insightface, ir_resnets, naming

ARCHITECTURES: dict[str, naming.Architecture] = {
  **ir_resnets.ARCHITECTURES,
  **insightface.ARCHITECTURES,
}


def recognise(shapes: naming.Shapes, path) -> tuple[str, naming.Options]:
  """The architecture and the options of our backbone for a state dict.

  Raises:
    UserError: if no architecture is like these shapes of the file at `path`.
  """
  for name, architecture in ARCHITECTURES.items():
    options = architecture.recognise(shapes)
    if options is not None:
      return name, options
  first = '\n  '.join(f'{name} {shapes[name]}' for name in list(shapes)[:10])
  raise errors.UserError(
    f'{path} is of no architecture known here: {", ".join(ARCHITECTURES)}. It'
    f' begins\n  {first}'
  )


def choose(backbone: Mapping[str, Any], code_base: str = '') -> str:
  """The architecture that a backbone of ours is in a code base.

  Args:
    backbone: its name and options.
    code_base: '' for its own, or the one that has it.

  Raises:
    UserError: if it is not of that code base, or of none.
  """
  found = {
    architecture.code_base: name
    for name, architecture in ARCHITECTURES.items()
    if architecture.has(backbone)
  }
  if code_base:
    errors.choose('code base', code_base, naming.CODE_BASES)
  elif found:
    variant = backbone.get('variant')
    code_base = variant if variant in found else min(found)
  if code_base in found:
    return found[code_base]
  shown = ', '.join(f'{name}={value!r}' for name, value in backbone.items())
  refusal = f'{code_base} does not have' if code_base else 'No code base has'
  remedy = 'ONNX and StableHLO can be written of every backbone.'
  if found:
    remedy = f'Give --as {" or ".join(sorted(found))}.'
  raise errors.UserError(f'{refusal} the backbone {shown}. {remedy}')

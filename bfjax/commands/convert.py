"""Converts models: PyTorch in, PyTorch, safetensors, ONNX and StableHLO out.

    bfjax convert --from torch net.pt --to models/net
    bfjax convert --from models/net --to torch net.pt
    bfjax convert --from runs/mine --to onnx net.onnx

In: a checkpoint of BoundaryFace, FaceX-Zoo, InsightFace (arcface_torch) or
AdaFace, as PyTorch or safetensors, becomes a model folder. The architecture is
recognised from names and shapes; BGR nets become RGB; class centres come along
where the file has them. `bfjax eval --workdir=models/net` evaluates it.

Out: a model folder, or the workdir of a run, becomes a state dict that the
code base's net loads strictly, or a graph for a batch of any size.

Each time both sides embed the same 32 images; if they differ by more than 1e-4,
nothing is written.
"""

import argparse
import pathlib

from bfjax import command, declared


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  add = parser.add_argument
  add(
    '--from',
    dest='origin',
    nargs='+',
    required=True,
    metavar='ORIGIN',
    help='`torch FILE`, `safetensors FILE`, or a model folder or workdir',
  )
  add(
    '--to',
    dest='target',
    nargs='+',
    required=True,
    metavar='TARGET',
    help='a new model folder, or `torch`, `safetensors`, `onnx` or `stablehlo`'
    ' and a new file',
  )
  add('--out', type=pathlib.Path, help='the new file, where --to has none')
  add(
    '--step',
    default='last',
    help='of a workdir: last, best or a step number (last)',
  )
  add(
    '--colour-order',
    default='',
    choices=['', *_choices('torch_in', 'ORDERS')],
    help="of the state dict's images (what its code base uses)",
  )
  _add_in(parser.add_argument_group('from torch'))
  _add_out(parser.add_argument_group('to torch and safetensors'))
  _add_graphs(parser.add_argument_group('to onnx and stablehlo'))
  return parser.parse_args(arguments)


def _add_in(group):
  add = group.add_argument
  add(
    '--centres',
    type=pathlib.Path,
    help="the margin's file (the `_margin` beside a `_net` is found)",
  )
  add(
    '--classes', type=pathlib.Path, help='class names: lines `class<TAB>name`'
  )
  add(
    '--mean-std',
    nargs=2,
    type=float,
    metavar=('MEAN', 'STD'),
    help='of pixels 0 to 255, (x - MEAN) / STD (what its code base uses)',
  )


def _add_out(group):
  add = group.add_argument
  add(
    '--as',
    dest='code_base',
    default='',
    choices=['', *_choices('naming', 'CODE_BASES')],
    help='whose names (those of the code base that has such nets)',
  )
  add(
    '--whole',
    action='store_true',
    help="as the code base's trainer saves it: keys, prefixes, class centres",
  )


def _add_graphs(group):
  inside = 'whether the graph scales the pixels (inside)'
  for option, table, meaning in (
    ('--pixels', 'INPUTS', None),
    ('--layout', 'LAYOUTS', None),
    ('--scaling', 'SCALINGS', inside),
    ('--output', 'OUTPUTS', None),
  ):
    choices = _choices('embedding', table)  # the usual one first
    group.add_argument(
      option, default=choices[0], choices=choices, help=meaning
    )


def _choices(module, table):
  """Names in a table of bfjax.convert, which takes seconds to import."""
  return declared.choices(f'bfjax.convert.{module}', table)


def main(arguments: argparse.Namespace) -> None:
  """Converts, and prints what was made and the proof.

  Raises:
    UserError: if the arguments do not fit together, or the conversion fails.
  """
  from bfjax.commands.parts import conversion  # loads JAX

  print('\n'.join(conversion.run(arguments)))

"""Converts models: PyTorch in, PyTorch, safetensors, ONNX and StableHLO out.

    python tools/convert_checkpoint.py --from torch net.pt --to models/net
    python tools/convert_checkpoint.py --from models/net --to torch net.pt
    python tools/convert_checkpoint.py --from runs/mine --to onnx net.onnx

In: a checkpoint of BoundaryFace, FaceX-Zoo, InsightFace (arcface_torch) or
AdaFace, as PyTorch or safetensors, becomes a model folder. The architecture is
recognised from names and shapes; BGR nets become RGB; class centres come along
where the file has them. `--mode=eval --workdir=models/net` evaluates it.

Out: a model folder, or the workdir of a run, becomes a state dict that the
code base's net loads strictly, or a graph for a batch of any size.

Each time both sides embed the same 32 images; if they differ by more than 1e-4,
nothing is written.
"""

import argparse
import math
import pathlib

from bfjax import command, errors, model, scalings
from bfjax.convert import embedding, exports, naming, torch_in
from bfjax.data import labelled

_SOURCES = ('torch', 'safetensors')
_FLAGS = {'code_base': '--as'}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
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
    choices=['', *torch_in.ORDERS],
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
    choices=['', *naming.CODE_BASES],
    help='whose names (those of the code base that has such nets)',
  )
  add(
    '--whole',
    action='store_true',
    help="as the code base's trainer saves it: keys, prefixes, class centres",
  )


def _add_graphs(group):
  add = group.add_argument
  usual = embedding.Signature()
  add('--pixels', default=usual.pixels, choices=embedding.INPUTS)
  add('--layout', default=usual.layout, choices=embedding.LAYOUTS)
  add(
    '--scaling',
    default=usual.scaling,
    choices=embedding.SCALINGS,
    help='whether the graph scales the pixels (inside)',
  )
  add('--output', default=usual.output, choices=embedding.OUTPUTS)


def main(arguments: argparse.Namespace) -> None:
  """Converts, and prints what was made and the proof.

  Raises:
    UserError: if the arguments do not fit together, or the conversion fails.
  """
  reads = len(arguments.origin) > 1 or arguments.origin[0] in _SOURCES
  target, *rest = arguments.target
  _check_used(arguments, reads, target)
  if target not in exports.FORMATS:
    model.check_free(pathlib.Path(target))
  if reads:
    found = _read(arguments)
    given, lines = found.model, [*found.notes, str(found.proof)]
  else:
    given = model.load_model(arguments.origin[0], arguments.step)
    lines = []
  if target in exports.FORMATS:
    lines += _export(target, rest, given, arguments)
  elif rest:
    raise errors.UserError(
      f'--to {" ".join(arguments.target)}: expected a folder, or one of'
      f' {", ".join(exports.FORMATS)} and a file.'
    )
  else:
    model.save_model(
      target,
      given.description,
      given.params,
      given.stats,
      centres=given.centres,
      class_names=given.class_names,
    )
    lines.append(f'Wrote {target}')
  print('\n'.join(lines))


def _check_used(arguments, reads, target):
  """Raises UserError for options that have no use in this conversion."""
  usual = embedding.Signature()
  graph = {name: getattr(usual, name) for name in usual._fields}
  groups = (
    ({'centres': None, 'classes': None, 'mean_std': None}, reads),
    ({'code_base': '', 'whole': False}, target in exports.STATE_FORMATS),
    ({'colour_order': ''}, reads or target in exports.STATE_FORMATS),
    (graph, target in exports.FORMATS and target not in exports.STATE_FORMATS),
    ({'step': 'last'}, not reads),
  )
  for options, is_used in groups:
    given = [k for k, v in options.items() if getattr(arguments, k) != v]
    if given and not is_used:
      names = ', '.join(
        _FLAGS.get(k, f'--{k.replace("_", "-")}') for k in given
      )
      raise errors.UserError(
        f'{names} has no use from {arguments.origin[0]} to {target}.'
      )


def _read(arguments):
  kind, *rest = arguments.origin
  errors.choose('format to read', kind, dict.fromkeys(_SOURCES))
  if len(rest) != 1:
    raise errors.UserError(f'--from {kind}: expected one file after it.')
  names = arguments.classes
  mean, std = arguments.mean_std or scalings.STANDARD
  if not (math.isfinite(mean) and 0 < std < math.inf):
    raise errors.UserError(
      f'--mean-std {mean:g} {std:g}: expected mean and deviation of pixels from'
      ' 0 to 255, such as 127.5 128.'
    )
  return torch_in.convert(
    pathlib.Path(rest[0]),
    centres=arguments.centres,
    colour_order=arguments.colour_order,
    scaling=scalings.Scaling(mean, std) if arguments.mean_std else None,
    class_names=labelled.read_class_names(names) if names else None,
  )


def _export(file_format, rest, given, arguments):
  paths = [*map(pathlib.Path, rest), *filter(None, [arguments.out])]
  if len(paths) != 1:
    raise errors.UserError(
      f'--to {file_format}: expected one file, after it or as --out.'
    )
  written = exports.write(
    given,
    file_format,
    paths[0],
    code_base=arguments.code_base,
    colour_order=arguments.colour_order,
    whole=arguments.whole,
    signature=embedding.Signature(
      pixels=arguments.pixels,
      layout=arguments.layout,
      scaling=arguments.scaling,
      output=arguments.output,
    ),
  )
  wrote = 'Wrote ' + ', '.join(map(str, written.paths))
  return [*written.notes, str(written.proof), wrote]


if __name__ == '__main__':
  command.run('convert_checkpoint', lambda: main(parse_arguments()))

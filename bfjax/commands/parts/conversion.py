"""What `convert` does: between model folders and files of others."""

import argparse
import math
import pathlib

from bfjax import errors, model, scalings
from bfjax.convert import embedding, exports, torch_in
from bfjax.data import labelled

_SOURCES = ('torch', 'safetensors')
_FLAGS = {'code_base': '--as'}


def run(arguments: argparse.Namespace) -> list[str]:
  """Converts; returns in lines what was made and the proof.

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
  return lines


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

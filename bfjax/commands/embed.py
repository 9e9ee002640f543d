"""Computes the features of a set of images.

    bfjax embed --model runs/mine --root IMAGES --out features
    bfjax embed --model runs/mine --checkpoint best \\
      --root IMAGES --list train.txt --flip sum --normalise --out features
    bfjax embed --model converted/r50 --root IMAGES \\
      --paths facescrub.txt --layout tree --out facescrub_features

The model is the workdir of a run, or a folder of `bfjax convert`. The images
are any data set that bfjax trains on (a folder of folders, a list of lines
`path  label`, train.rec, a TFDS set; found out by looking at it), a
verification pack (.bin), or with --paths a list of paths alone or all images
below a folder.

--out gets features.npy, rows.tsv with the path and the label of each row, and
meta.json; with --layout tree, the layout of the MegaFace scripts, the features
of a/1.jpg in a/1.npy. A killed command is started again and goes on. Several
processes of several hosts share the work as in training:
--coordinator HOST:PORT --num-processes N --process-id I.
"""

import argparse
import pathlib

from bfjax import command, errors, runtime, watched
from bfjax.commands.parts import setoptions

USES_JAX = True


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  add = parser.add_argument_group('the model').add_argument
  add('--model', '--workdir', required=True, type=pathlib.Path, dest='model')
  add('--checkpoint', default='last', help="'last', 'best' or a step (last)")

  add = parser.add_argument_group('the images').add_argument
  add('--root', default='', help='folder, list, .rec, TFDS folder or .bin')
  add('--paths', default='', help='lines `path`, or a folder of images')
  setoptions.add(add)

  add = parser.add_argument_group('the features').add_argument
  add('--out', required=True, type=pathlib.Path, help='the folder')
  add(
    '--flip',
    default='sum',
    choices=['none', 'sum', 'joined', 'both'],
    help='with the mirror image: left out, added (sum), joined or side by side',
  )
  add('--normalise', action='store_true', help='divide by the length')
  add('--dtype', default='float32', choices=['float32', 'float16'])
  add('--layout', default='rows', choices=['rows', 'tree'])

  add = parser.add_argument_group('the work').add_argument
  add('--batch', type=int, default=256, help='images a step (256)')
  add('--threads', type=int, default=0, help='that decode (one a core)')
  add(
    '--flush-secs',
    type=float,
    default=10.0,
    help='how often what is done is noted: what a kill costs (10)',
  )
  add('--coordinator', default='', help='host:port of process 0, or auto')
  add('--num-processes', type=int)
  add('--process-id', type=int)
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Computes and writes the features.

  Raises:
    UserError: if the model or the images cannot be read, or the folder holds
      features made otherwise.
  """
  if arguments.coordinator:
    watched.begin('embed')
  runtime.join_processes(
    arguments.coordinator, arguments.num_processes, arguments.process_id
  )
  # After the runtime's flags are set.
  from bfjax.data import sources
  from bfjax.evaluation.features import extraction, imagesets, store

  if arguments.source:
    options = dict(map(command.key_value, arguments.option))
    images = sources.build(arguments.source, **options)
  elif arguments.paths:
    images = imagesets.open_paths(arguments.paths, arguments.root)
  elif arguments.root:
    images = imagesets.open_set(
      arguments.root,
      list=arguments.list,
      dataset=arguments.dataset,
      split=arguments.split,
      format=arguments.format,
    )
  else:
    raise errors.UserError('Which images? Give --root, --paths or --source.')
  extraction.compute(
    arguments.model,
    images,
    arguments.out,
    checkpoint=arguments.checkpoint,
    form=store.Form(
      arguments.flip,
      arguments.normalise,
      arguments.dtype,
      arguments.layout,
    ),
    batch=arguments.batch,
    threads=arguments.threads,
    flush_secs=arguments.flush_secs,
  )
  if not arguments.process_id:
    print(f'Features of {images.num_rows} images in {arguments.out}')

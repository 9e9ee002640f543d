"""Writes the built-in faces as a folder of JPEG files, with lists and pairs.

    python tools/make_faces.py --out faces --identities 1000 --flip-rate 0.2

The folder holds, in the formats of the field,

    images/      a folder for each person, `name/name_%04d.jpg`
    train.txt    lines `path  label`, with wrong labels as asked
    clean.txt    the same images with their true labels
    flips.txt    the images with a wrong label, with their TRUE label
    unseen/      the images of other people, for verification, and
      pairs.txt        pairs in LFW's format: `name a b`, `name1 a name2 b`
      pairs-flags.txt  the same pairs as lines `left right flag`
"""

import argparse
import pathlib
import shlex
import shutil

import numpy as np

from bfjax import command, errors, recipes
from bfjax.data import noise
from bfjax.faces import cache, nuisances, sets, workers

_FOLDS = 10


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--out', required=True, type=pathlib.Path, help='an empty or new folder')
  add('--identities', type=int, default=1000, help='people to train on')
  add('--images-per-identity', type=int, default=40, help='images of each')
  add('--size', type=int, default=112, help='pixels of a side (112)')
  add(
    '--difficulty',
    default='normal',
    choices=sorted(nuisances.DIFFICULTIES),
    help='how much images of a person differ (normal)',
  )
  add(
    '--flip-rate',
    type=float,
    default=0.0,
    help="share of each person's images with a wrong label (0)",
  )
  add('--seed', type=int, default=0, help='names people, images and flips (0)')
  add(
    '--pairs',
    type=int,
    default=6000,
    help='verification pairs, a multiple of 20; 0 for none (6000)',
  )
  add('--unseen-identities', type=int, default=200, help='people in the pairs')
  add('--unseen-images', type=int, default=8, help='images of each of them')
  add('--processes', type=int, default=0, help='that render (one a core)')
  return parser.parse_args(arguments)


def make(arguments: argparse.Namespace) -> None:
  """Writes the folder.

  Raises:
    UserError: if an argument is out of range, the folder is not empty or
      cannot be written to.
  """
  train = sets.FaceSet(
    arguments.seed,
    0,
    arguments.identities,
    arguments.images_per_identity,
    arguments.size,
    arguments.difficulty,
  )
  unseen = train._replace(
    first_identity=sets.FIRST_UNSEEN,
    identities=arguments.unseen_identities,
    images_per_identity=arguments.unseen_images,
  )
  # All that can be wrong is found before the first image is rendered.
  train.check()
  if train.identities > sets.FIRST_UNSEEN:
    raise errors.UserError(
      f'--identities must be at most {sets.FIRST_UNSEEN}, '
      f'not {train.identities}: the people after are those of the pairs.'
    )
  true = train.labels()
  given = noise.flip_labels(
    true, arguments.flip_rate, train.identities, arguments.seed
  )
  chosen = None
  if arguments.pairs:
    chosen = sets.choose_pairs(unseen, arguments.pairs, _FOLDS)
  out = arguments.out.resolve()
  partial = _prepare(out)
  try:
    _write_training(partial, train, given, arguments.processes)
    if chosen:
      _write_unseen(partial / 'unseen', unseen, chosen, arguments.processes)
    partial.rename(out)
  finally:
    # Still there only if something has gone wrong, or Ctrl-C was pressed.
    shutil.rmtree(partial, ignore_errors=True)
  print(_message(out, train, int((given != true).sum()), arguments.pairs))


def _write_training(
  root: pathlib.Path, train: sets.FaceSet, given: np.ndarray, processes: int
) -> None:
  """The images to train on and their lists."""
  (root / 'images').mkdir()
  workers.write_images(root / 'images', train, processes)
  names = [f'images/{name}' for name in train.names()]
  true = train.labels()
  cache.write_text(root / 'clean.txt', sets.list_lines(names, true))
  cache.write_lists(root, names, true, given, 'train.txt', 'flips.txt')


def _write_unseen(
  root: pathlib.Path, unseen: sets.FaceSet, chosen: sets.Pairs, processes: int
) -> None:
  """The images of other people and the two lists of their pairs."""
  root.mkdir()
  workers.write_images(root, unseen, processes)
  cache.write_text(root / 'pairs.txt', chosen.lfw_lines())
  cache.write_text(root / 'pairs-flags.txt', chosen.flag_lines())


def _prepare(out: pathlib.Path) -> pathlib.Path:
  """Makes the folder that becomes `out` once it is complete."""
  partial = out.with_name(f'{out.name}.partial')
  try:
    if out.exists() and any(out.iterdir()):
      raise errors.UserError(
        f'{out} is not empty. Give --out a new folder, or empty it first.'
      )
    partial.mkdir(parents=True)
  except FileExistsError as error:
    raise errors.UserError(
      f'There is {partial} already: an interrupted run has left it, or another '
      'one is writing there. Remove it, or give --out another folder.'
    ) from error
  except OSError as error:
    raise errors.UserError(
      f'Cannot write to {out}: {error.strerror}.'
    ) from error
  return partial


def _message(
  out: pathlib.Path, train: sets.FaceSet, num_flips: int, num_pairs: int
) -> str:
  """What was written, and the command that trains on it."""
  recipe = recipes.recommend(train.num_images)
  options = {'root': out, 'list': out / 'train.txt', 'truth': out / 'flips.txt'}
  command = recipes.command(recipe, options)
  if num_pairs:
    root = out / 'unseen'
    command += [
      '--config.eval.benchmarks="(\'own\',)"',
      shlex.quote(f'--config.benchmarks.own.root={root}'),
      '--config.benchmarks.own.pairs=pairs.txt',
    ]
  else:
    command.append('--config.eval.benchmarks="()"')
  lines = ' \\\n    '.join(command)
  return (
    f'Wrote {train.num_images} images of {train.identities} people to {out}, '
    f'{num_flips} of them with a wrong label, and {num_pairs} pairs of unseen '
    f'people.\nTo train on them, {recipe.time}:\n  {lines}'
  )


if __name__ == '__main__':
  command.run('make_faces', lambda: make(parse_arguments()))

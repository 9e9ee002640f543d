"""The page of a run or of a cleaned set, made again from its folder."""

import pathlib
from collections.abc import Mapping

import numpy as np

from bfjax import command, defaults, errors, setup, text
from bfjax.cleaning import othersets
from bfjax.data import labelled, selection, sources
from bfjax.datasets import ondisk
from bfjax.evaluation.features import store
from bfjax.logbook import runpage
from bfjax.report import cleanpage


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes the page of a folder and returns its path.

  Args:
    folder: the workdir of a run, finished or not, or what tools/clean.py has
      written.

  Raises:
    UserError: if it is neither, or its data are not where they were.
  """
  if (folder / 'config.json').exists():
    config = defaults.read_config(folder / 'config.json')
    return runpage.write(folder, *setup.open_source(config, folder))
  if (folder / cleanpage.SUMMARY).exists():
    summary = text.read_json(folder / cleanpage.SUMMARY)
    source = open_set(summary['settings'])
    return cleanpage.write(folder, source, source.labels, _others(summary))
  raise errors.UserError(
    f'{text.printable(str(folder))} is neither the workdir of a run, which has'
    f' a config.json, nor of tools/clean.py, with {cleanpage.SUMMARY}.'
  )


def open_set(settings: Mapping) -> labelled.Source:
  """The set that tools/clean.py was told to clean.

  Args:
    settings: its options by name: `source` with `option`, or `root` with
      `list`, `dataset`, `split`, `format` and `truth`; else the set of the run
      `model`, with the labels that it was given.

  Raises:
    UserError: if it cannot be opened.
  """
  if settings['source']:
    options = dict(map(command.key_value, settings['option']))
    return sources.build(settings['source'], **options)
  if settings['root']:
    names = ('list', 'dataset', 'format')
    found = ondisk.detect(settings['root'], **{x: settings[x] for x in names})
    return ondisk.open_source(
      found, truth=settings['truth'], split=settings['split']
    )
  path = pathlib.Path(settings['model'])
  if not (path / 'config.json').exists():
    raise errors.UserError(
      f'{text.printable(str(path))} is no run whose config.json would say which'
      ' images: give --root or --source.'
    )
  config = defaults.read_config(path / 'config.json')
  source, given = setup.open_source(config, path)
  if np.array_equal(given, source.labels):
    return source
  return selection.select(source, labels=given)


def _others(summary: Mapping) -> dict[str, labelled.Images]:
  """Name -> images of the sets whose people were found; not of features."""
  names = {one['other']['set'] for one in summary.get('overlap') or []}
  return {
    name: images
    for name in sorted(names)
    if not (pathlib.Path(name) / store.FEATURES).exists()
    and (images := othersets.open_people(name).images) is not None
  }

"""Images to compute features of: data sets, packs, bare lists and folders."""

import os

from bfjax import errors, text
from bfjax.data import files, folders, labelled
from bfjax.datasets import ondisk
from bfjax.formats import packs


def open_set(
  root: str,
  *,
  list: str = '',
  dataset: str = '',
  split: str = '',
  format: str = '',
) -> labelled.Source | packs.PackFiles:
  """A data set of whichever format, or a verification pack.

  Args:
    root: a folder, list, .rec file, TFDS folder or .bin pack.
    list: lines `path  label`, relative to `root` or to where the user is.
    dataset: of a data_dir of TFDS.
    split: of a TFDS set.
    format: of `layouts.readable()`; '' to find it out.

  Raises:
    UserError: if it is none of these or cannot be read.
  """
  if os.path.isfile(root) and not list and packs.is_pack(root):
    return packs.PackFiles(root, packs.read(root).images)
  found = ondisk.detect(root, list=list, dataset=dataset, format=format)
  return ondisk.open_source(found, split=split)


def open_paths(paths: str, root: str = '') -> files.ImageFiles:
  """Images without labels.

  Args:
    paths: a file of lines `path`, or a folder: all images below it, at any
      depth, in the order of their paths.
    root: what the lines are relative to; '' for the folder of the file.

  Raises:
    UserError: if there are no images, one is missing, or the file cannot be
      read.
  """
  if os.path.isdir(paths):
    found = files.ImageFiles(sorted(folders.images_below(paths)), paths)
    if not found.num_rows:
      raise errors.UserError(
        f'There are no images ({", ".join(folders.SUFFIXES)}) below {paths}.'
      )
    return found
  lines = text.byte_lines(paths, 'the list of images')
  found = files.ImageFiles(
    (line.strip(b' \t') for _, line in lines),
    root or os.path.dirname(paths) or '.',
  )
  if not found.num_rows:
    raise errors.UserError(f'{text.printable(paths)} lists no images.')
  found.check_exist()
  return found

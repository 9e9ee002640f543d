"""Where a list and its images lie, and what is there if they are not."""

import filecmp
import itertools
import logging
import os
import pathlib

from bfjax import errors
from bfjax.text import printable

_log = logging.getLogger(__name__)

_MAX_FOLDERS = 256  # of a root that are looked into
_MAX_NAMES = 4  # whose folders are listed


def find_list(path: str, root: str, what: str) -> str:
  """The list called `path`: in the folder of the images or where the user is.

  Which of the two was taken is said, if both could be meant.

  Args:
    path: of the list, as given.
    root: the folder of the images; '' where that is not known.
    what: the option that it was given by, for messages: 'data.list'.

  Returns:
    the absolute path of what is there; below `root` if it is in both.

  Raises:
    UserError: if there is no such file, or there are two that differ.
  """
  in_root, here = (
    os.path.abspath(os.path.join(root, path)),
    os.path.abspath(path),
  )
  there = [x for x in dict.fromkeys((in_root, here)) if os.path.exists(x)]
  if not there:
    nor = '' if in_root == here else f', nor {printable(here)}'
    raise errors.UserError(
      f'There is no list {printable(in_root)}{nor}: No such file. {what} is '
      'relative to the folder of the images or to where you are.'
    )
  taken = there[0]
  copies = [x for x in there[1:] if not os.path.samefile(taken, x)]
  if any(not filecmp.cmp(taken, x, shallow=False) for x in copies):
    raise errors.UserError(
      f'{what}={printable(path)} can be {printable(in_root)} or '
      f'{printable(here)}, and the two differ. Give the absolute path.'
    )
  if copies or (in_root != here and len(there) == 1):
    copy = f', and not its copy {printable(here)}' if copies else ''
    # A warning, since tools say no less.
    _log.warning('%s is taken to be %s%s', what, printable(taken), copy)
  return taken


def explain(root: str, names: list[str]) -> str:
  """What is wrong with names none of which is a file below `root`.

  Args:
    root: the folder, absolute.
    names: paths of a list, some of them: each is looked up in several ways.

  Returns:
    what to do, as one or two sentences; '' if nothing explains it.
  """
  slashed = [name.replace('\\', '/') for name in names]
  if slashed != names:
    why = explain(root, slashed)
    if why or _are_there(root, slashed):
      return (
        "Write slashes for backslashes, tr '\\\\' / < LIST > NEW_LIST."
        f'{why and f" And then: {why}"}'
      )
  if folder := find_root(root, names):
    return (
      f'They are there below {folder}: give that as the root '
      f'(data.root={folder} in a config).'
    )
  return _other_start(root, names) or _other_spelling(root, names)


def _are_there(root, names) -> bool:
  """Whether half of them are: some may be missing all the same."""
  there = sum(os.path.isfile(os.path.join(root, name)) for name in names)
  return there >= (len(names) + 1) // 2


def find_root(root: str, names: list[str]) -> str:
  """The folder that half of some names are files below; '' if there is none.

  Args:
    root: those above it are tried, the one where the user is, and those in it.
    names: paths of a list, some of them.
  """
  folders = [*map(str, pathlib.Path(root).parents), os.getcwd()]
  inside = (os.path.join(root, name) for name in _inside(root))
  folders += itertools.islice(filter(os.path.isdir, inside), _MAX_FOLDERS)
  return next((x for x in folders if _are_there(x, names)), '')


def _other_start(root, names) -> str:
  """Their paths begin with folders that are not below `root`."""
  first = names[0].lstrip('/').split('/')
  for depth in range(1, len(first)):
    start = names[0][: names[0].index('/'.join(first[depth:]))]
    rest = [x.removeprefix(start) for x in names if x.startswith(start)]
    if 2 * len(rest) >= len(names) and _are_there(root, rest):
      return (
        f'They are there without {start} in front: take it off, '
        f"sed 's|^{start}||' LIST > NEW_LIST."
      )
  return ''


def _other_spelling(root, names) -> str:
  """One of them is there in other case, or with another ending."""
  for name in names[:_MAX_NAMES]:
    path = '/' if name.startswith('/') else root
    *folders, last = filter(None, name.split('/'))
    for folder in folders:
      path = _first_like(path, folder, str)
    found = _first_like(path, last, _stem)
    if os.path.isfile(found):
      return (
        f'There is {os.path.relpath(found, root)}: upper and lower case, and '
        'endings, have to be the same. Write the list as the files are called.'
      )
  return ''


def _first_like(path, name, part) -> str:
  """What is in the folder `path` and called `name`, or nearly so."""
  exact = os.path.join(path, name)
  if os.path.exists(exact):
    return exact
  wanted = part(name).casefold()
  alike = (x for x in _inside(path) if part(x).casefold() == wanted)
  return os.path.join(path, next(alike, ''))


def _stem(name) -> str:
  return os.path.splitext(name)[0]


def _inside(folder) -> list[str]:
  try:
    return sorted(os.listdir(folder))
  except OSError:
    return []

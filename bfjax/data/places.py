"""Where a list lies that is relative to the images or to the user."""

import filecmp
import logging
import os

from bfjax import errors
from bfjax.text import printable

_log = logging.getLogger(__name__)


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
  if len(there) == 1:
    if in_root != here:  # a warning, since tools say no less
      _log.warning('%s is taken to be %s', what, printable(taken))
    return taken
  if os.path.samefile(*there):
    return taken
  if not filecmp.cmp(*there, shallow=False):
    raise errors.UserError(
      f'{what}={printable(path)} can be {printable(in_root)} or '
      f'{printable(here)}, and the two differ. Give the absolute path.'
    )
  _log.warning(
    '%s is taken to be %s, and not its copy %s',
    what,
    printable(in_root),
    printable(here),
  )
  return taken

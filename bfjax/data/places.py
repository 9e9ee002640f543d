"""Where a list lies that is relative to the images or to the user."""

import filecmp
import logging
import os

from bfjax import errors
from bfjax.data.files import printable

_log = logging.getLogger(__name__)


def find_list(path: str, root: str, what: str) -> str:
  """The list called `path`: in the folder of the images or where the user is.

  Which of the two was taken is said, if both could be meant.

  Args:
    path: of the list, as given.
    root: the folder of the images; '' where that is not known.
    what: the option that it was given by, for messages: 'data.list'.

  Returns:
    a path that exists; below `root` if it is there.

  Raises:
    UserError: if there is no such file, or there are two that differ.
  """
  here, in_root = path, os.path.join(root, path)
  places = [x for x in dict.fromkeys((in_root, here)) if os.path.exists(x)]
  if not places:
    nor = '' if in_root == here else f', nor {printable(os.path.abspath(here))}'
    raise errors.UserError(
      f'There is no list {printable(in_root)}{nor}: No such file. {what} is '
      'relative to the folder of the images or to where you are.'
    )
  taken = places[0]
  if len(places) == 1:
    if in_root != here:
      level = logging.INFO if taken == in_root else logging.WARNING
      _log.log(level, '%s: %s', what, printable(os.path.abspath(taken)))
    return taken
  if os.path.samefile(*places):
    return taken
  if not filecmp.cmp(here, in_root, shallow=False):
    raise errors.UserError(
      f'{what}={printable(path)} can be {printable(in_root)} or '
      f'{printable(os.path.abspath(here))}, and the two differ. Give the '
      'absolute path.'
    )
  _log.warning(
    '%s: %s, and not its copy %s',
    what,
    printable(taken),
    printable(os.path.abspath(here)),
  )
  return taken

"""The options that say which data set, of the commands that take any."""

from collections.abc import Callable


def add(add: Callable) -> None:
  """Adds them; `add` is the `add_argument` of a group that has --root."""
  add('--list', default='', help='lines `path  label`, as data.list')
  add('--dataset', default='', help='of a TFDS data_dir: name or name:version')
  add('--split', default='', help='of a TFDS set (train)')
  add('--from', dest='format', default='', help='list, folder, recordio, tfds')
  add('--source', default='', help='or: a file of bfjax/data/sources, and')
  add(
    '--option',
    action='append',
    default=[],
    metavar='KEY=VALUE',
    help='its options; several times',
  )

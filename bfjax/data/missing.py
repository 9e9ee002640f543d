"""Why the files of a list are not there: what lies on the disk instead."""

import os

_MAX_FOLDERS = 256  # of a root that are looked into
_MAX_NAMES = 4  # whose folders are listed


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
    if why or _count(root, slashed) >= _most(slashed):
      return (
        "Write slashes for backslashes, tr '\\\\' / < LIST > NEW_LIST."
        f'{why and f" And then: {why}"}'
      )
  return (
    _other_root(root, names)
    or _other_start(root, names)
    or _other_case(root, names)
    or _other_suffix(root, names)
  )


def _count(root, names) -> int:
  return sum(os.path.isfile(os.path.join(root, name)) for name in names)


def _most(names) -> int:
  """So many must be there: some may be missing all the same."""
  return (len(names) + 1) // 2


def _other_root(root, names) -> str:
  """They lie below a folder above `root`, in it, or where the user is."""
  folders = []
  above = root
  while above != os.path.dirname(above):
    above = os.path.dirname(above)
    folders.append(above)
  folders.append(os.getcwd())
  if os.path.isdir(root):
    with os.scandir(root) as entries:
      folders += sorted(x.path for x in entries if x.is_dir())[:_MAX_FOLDERS]
  for folder in folders:
    if _count(folder, names) >= _most(names):
      return (
        f'They are there below {folder}: give that as the root '
        f'(data.root={folder} in a config).'
      )
  return ''


def _other_start(root, names) -> str:
  """Their paths begin with folders that are not below `root`."""
  first = names[0].lstrip('/').split('/')
  for depth in range(1, len(first)):
    start = names[0][: names[0].index('/'.join(first[depth:]))]
    rest = [x.removeprefix(start) for x in names if x.startswith(start)]
    if len(rest) >= _most(names) and _count(root, rest) >= _most(names):
      return (
        f'They are there without {start} in front: take it off, '
        f"sed 's|^{start}||' LIST > NEW_LIST."
      )
  return ''


def _other_case(root, names) -> str:
  for name in names[:_MAX_NAMES]:
    if found := _any_case(root, name):
      return (
        f'There is {found}: upper and lower case are not the same '
        'here. Write the list as the files are called.'
      )
  return ''


def _any_case(root, name) -> str:
  """The path below `root` that differs from `name` in case alone, or ''."""
  path = '/' if name.startswith('/') else root
  for part in filter(None, name.split('/')):
    if os.path.exists(os.path.join(path, part)):
      path = os.path.join(path, part)
      continue
    same = [x for x in _inside(path) if x.casefold() == part.casefold()]
    if not same:
      return ''
    path = os.path.join(path, same[0])
  return os.path.relpath(path, root) if os.path.isfile(path) else ''


def _other_suffix(root, names) -> str:
  for name in names[:_MAX_NAMES]:
    stem = os.path.splitext(name)[0]
    folder = os.path.dirname(stem)
    for other in _inside(os.path.join(root, folder)):
      if other.startswith(f'{os.path.basename(stem)}.'):
        return (
          f'There is {os.path.join(folder, other)}: correct the endings in the '
          'list.'
        )
  return ''


def _inside(folder) -> list[str]:
  try:
    return sorted(os.listdir(folder))
  except OSError:
    return []

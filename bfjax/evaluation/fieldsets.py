"""Where the sets of the field are in the folder that holds them all."""

import os

# Where the pairs of a set of the field may be in the folder of all sets.
PLACES = (
  '{0}/pairs.txt',
  '{0}/{0}_pairs.txt',
  '{0}/{0}.bin',
  '{0}.bin',
)


def find(root: str, name: str) -> dict[str, str]:
  """The options of the benchmark `pairs` for the set `name` in that folder.

  The list is `root/name/pairs.txt` or, as XQLFW has it,
  `root/name/name_pairs.txt`, with the images beside it; or the pack
  `root/name/name.bin` or `root/name.bin` holds both. If there is none, the
  first of these is returned, for the benchmark to refuse.
  """
  places = [os.path.join(root, place.format(name)) for place in PLACES]
  there = [place for place in places if os.path.isfile(place)] or places
  return {
    'root': os.path.dirname(there[0]),
    'pairs': os.path.basename(there[0]),
  }


def is_there(root: str | os.PathLike, name: str) -> bool:
  """Whether the folder has the set `name` of the field."""
  found = find(os.fspath(root), name)
  return os.path.isfile(os.path.join(found['root'], found['pairs']))

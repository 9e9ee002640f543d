"""The keys of a config: which there are, and changes to them.

A config is a `ConfigDict`: groups of keys, one in the other. `config.head.m`
is the key 'head.m', and a message about it names its group and what is there.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bfjax import errors

_KINDS = {
  bool: 'true or false',
  float: 'a number',
  int: 'a whole number',
  str: 'text',
  tuple: 'several values, such as (6, 12)',
}


def is_group(value: Any) -> bool:
  """Whether a value holds keys of its own."""
  return hasattr(value, 'items')


def flat(config) -> Iterator[tuple[str, Any]]:
  """Yields every key, as 'head.m', with its value; groups without keys too."""
  for name, value in config.items():
    if is_group(value) and len(value):
      for key, inner in flat(value):
        yield f'{name}.{key}', inner
    else:
      yield name, value


def written_order(group) -> list[str]:
  """The keys of a group as they were written; iterating sorts them."""
  # Alone among its methods this one does not sort the keys.
  return list(json.loads(group.to_json_best_effort(sort_keys=False)))


def find(config, key: str, title: str = 'config') -> tuple[Any, str]:
  """Returns the group that holds `key`, as 'head.m', and the key's last name.

  Args:
    config: all groups.
    key: of it.
    title: what the config is called in messages.

  Raises:
    UserError: if there is no such key; the message names the group, those it
      has, and the nearest.
  """
  group, names = config, key.split('.')
  for i, name in enumerate(names):
    place = '.'.join([title, *names[:i]])
    if not is_group(group):
      raise errors.UserError(
        f'{place} is a value, {group!r}, and has no key {name!r}.'
      )
    if name not in group:
      near = errors.did_you_mean(name, group)
      raise errors.UserError(
        f'{place} has no key {name!r}. It has: {", ".join(group) or "none"}.'
        + (near or _elsewhere(config, name, title))
      )
    if i + 1 < len(names):
      group = group[name]
  return group, names[-1]


def _elsewhere(config, name, title):
  """Where a key of that name is, if it is in another group."""
  places = [
    f'{title}.{key}' for key, _ in flat(config) if key.split('.')[-1] == name
  ]
  return f' There is {" and ".join(places)}.' if places else ''


def change(config, changes: Mapping, title: str = 'config') -> None:
  """Sets what `changes`, nested as the config is, says.

  Raises:
    UserError: if there is no such key, or it takes a value of another type.
  """
  if not is_group(changes):
    raise errors.UserError(
      f'{title}={changes!r}: expected keys and values, such as'
      " {'head': {'m': 0.3}}."
    )
  for name, value in changes.items():
    group, name = find(config, str(name), title)
    if is_group(group[name]):
      change(group[name], value, f'{title}.{name}')
      continue
    if isinstance(value, list):
      value = tuple(value)
    try:
      group[name] = value
    except TypeError as error:
      raise wrong_type(group, name, value, title) from error


def wrong_type(group, name: str, value: Any, title: str) -> errors.UserError:
  """The error of a key that was given a value that it cannot take.

  Args:
    group: that holds the key.
    name: of the key.
    value: as given.
    title: of the group.
  """
  place, now = f'{title}.{name}={value}', group[name]
  if is_group(now):
    there = ', '.join(f'{title}.{name}.{key}' for key in now) or 'none'
    return errors.UserError(
      f'{place}: this is a group of keys: {there}. Set one of them, or all by a'
      " dict whose keys have no dots, such as {'a': {}}."
    )
  if name == 'image_size':
    return errors.UserError(
      f'{place}: expected one whole number, such as {now}. Images are square'
      ' here; those of another shape are stretched.'
    )
  usual = '' if now is None else f'; it is {now!r} otherwise'
  expected = _KINDS.get(group.get_type(name), group.get_type(name).__name__)
  return errors.UserError(f'{place}: expected {expected}{usual}.')


def check_complete(config, whole, origin: str = '') -> None:
  """Refuses a config without some of the keys of another one.

  Args:
    config: to be checked.
    whole: with all keys that there must be, of the right types. Groups that
      are empty in it, and 'benchmarks', hold names of the user's.
    origin: before the message, such as 'FILE: '.

  Raises:
    UserError: names every key that is missing or of another type.
  """
  missing, wrong = [], []
  for key, value in flat(whole):
    if key.startswith('benchmarks.'):
      continue
    try:
      group, name = find(config, key)
    except errors.UserError:
      missing.append(f'config.{key}')
      continue
    if not _alike(group[name], value):
      wrong.append(f'config.{key} is {group[name]!r}, where {value!r} is usual')
  if missing or wrong:
    said = [f'There is no {", ".join(missing)}'] if missing else []
    raise errors.UserError(
      origin
      + '; '.join(said + wrong)
      + '. Start from bfjax.defaults.get_config() and change single keys of its'
      ' groups.'
    )


def _alike(value, like):
  if value is None or like is None:
    return True
  if is_group(like):
    return is_group(value)
  kinds = {float: (int, float), tuple: (list, tuple)}.get(type(like))
  is_bool = isinstance(value, bool) == isinstance(like, bool)
  return is_bool and isinstance(value, kinds or type(like))

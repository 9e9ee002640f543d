"""Cards: what the compiler is told of one, and how fast it may be.

`cards.toml` is the table. A card of one's own is a file: a table of the same
keys, `mine.toml`, or a GpuTargetConfigProto as text, as XLA writes it for the
card of a machine. Such a text tells no peaks of matrix products and no links:
they are then those of the card of the table with the same compute capability,
by the number of its cores and their clock.
"""

import dataclasses
import pathlib
import re
import tomllib
from typing import Any

from bfjax import errors

_TABLE = pathlib.Path(__file__).with_name('cards.toml')
# cuDNN, whose version decides which convolutions there are.
_DNN = (9, 10, 2)
_TARGET = """\
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {shared_memory_per_core}
  threads_per_core_limit: {threads_per_core}
  core_count: {cores}
  fpus_per_core: {fpus_per_core}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth:.0f}
  l2_cache_size: {l2_cache_bytes}
  clock_rate_ghz: {clock_ghz}
  device_memory_size: {memory_bytes}
  shared_memory_per_block_optin: {shared_memory_per_block}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
}}
platform_name: "CUDA"
dnn_version_info {{ major: {dnn[0]} minor: {dnn[1]} patch: {dnn[2]} }}
"""


@dataclasses.dataclass(frozen=True)
class Card:
  """A kind of card.

  Attributes:
    title: its name, for people.
    target: a GpuTargetConfigProto as text; '' for virtual devices of the CPU.
    memory_bytes: of its own memory; 0 if that is no matter.
    bandwidth: bytes a second of that memory.
    matrix: precision -> floating-point operations a second of products.
    link: bytes a second to another card of its host, each way.
    network: likewise to one of another host.
    cards_a_host: how many a host has.
  """

  title: str
  target: str
  memory_bytes: int = 0
  bandwidth: float = 0.0
  matrix: dict[str, float] = dataclasses.field(default_factory=dict)
  link: float = 0.0
  network: float = 0.0
  cards_a_host: int = 8


CPU = Card('virtual devices of the CPU', '')


def names() -> list[str]:
  """The cards there are by name."""
  return [*_table(), 'cpu']


def read(name: str) -> Card:
  """The card called `name`, or that of a file.

  Raises:
    UserError: if there is no such card or file, or the file lacks something.
  """
  if name == 'cpu':
    return CPU
  path, table = pathlib.Path(name), _table()
  if not path.is_file():
    if path.suffix:
      raise errors.UserError(f'There is no file {name} that tells of a card.')
    errors.choose('card', name, dict.fromkeys(names()))
    return _card(name, table[name])
  text = path.read_text()
  if 'gpu_device_info' in text:
    return _of_target(name, text, table)
  try:
    return _card(name, tomllib.loads(text))
  except tomllib.TOMLDecodeError as error:
    raise errors.UserError(
      f'{name} is neither a GpuTargetConfigProto as text nor a table as'
      f' {_TABLE} has one for each card: {error}.'
    ) from error


def _table() -> dict[str, dict[str, Any]]:
  return tomllib.loads(_TABLE.read_text())


def _card(name, entry) -> Card:
  example = next(iter(_table().values()))
  for key in example:
    if key not in entry:
      raise errors.UserError(
        f'The card {name} lacks {key!r}. It needs: {", ".join(example)}.'
      )
  major, minor = entry['compute_capability']
  bandwidth = 1e9 * entry['memory_gb_per_sec']
  return Card(
    title=entry['title'],
    target=_TARGET.format(
      **entry, bandwidth=bandwidth, major=major, minor=minor, dnn=_DNN
    ),
    memory_bytes=entry['memory_bytes'],
    bandwidth=bandwidth,
    matrix={k: 1e12 * v for k, v in entry['matrix'].items()},
    link=1e9 * entry['link_gb_per_sec'],
    network=1e9 * entry['network_gb_per_sec'],
    cards_a_host=entry['cards_a_host'],
  )


def _of_target(name, text, table) -> Card:
  """The card of a GpuTargetConfigProto."""

  def number(key, default=None):
    found = re.search(rf'\b{key}:\s*([\d.]+)', text)
    if not found and default is None:
      raise errors.UserError(f'{name}: gpu_device_info has no {key}.')
    return float(found[1]) if found else default

  capability = [int(number('major')), int(number('minor', 0.0))]
  brace = re.search(r'cuda_compute_capability\s*\{([^}]*)\}', text)
  if brace:
    parts = dict(re.findall(r'(major|minor):\s*(\d+)', brace[1]))
    capability = [int(parts.get(k, 0)) for k in ('major', 'minor')]
  alike = [x for x in table.values() if x['compute_capability'] == capability]
  if not alike:
    known = sorted({tuple(x['compute_capability']) for x in table.values()})
    raise errors.UserError(
      f'{name} is a card of compute capability {_dotted(capability)}, and the'
      f' table has the peaks of {", ".join(map(_dotted, known))} alone. Give a'
      f' table with its limits instead, as {_TABLE} has one for each card.'
    )
  other = alike[0]
  speed = number('core_count') * number('clock_rate_ghz')
  share = speed / (other['cores'] * other['clock_ghz'])
  title = re.search(r'device_description_str:\s*"([^"]*)"', text)
  of_other = _card('', other)
  return dataclasses.replace(
    of_other,
    title=title[1] if title else name,
    target=text,
    memory_bytes=int(number('device_memory_size')),
    bandwidth=number('memory_bandwidth'),
    matrix={k: share * v for k, v in of_other.matrix.items()},
  )


def _dotted(capability) -> str:
  return '.'.join(map(str, capability))

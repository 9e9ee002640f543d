"""Times this project beside what it is compared with, on this machine.

Run it from a checkout in which `pip install -e '.[test]'` was done:

    python tools/benchmark.py                   every part
    python tools/benchmark.py head --repeats 9  one part, more repeats
    python tools/benchmark.py --markdown docs/performance.md
    python tools/benchmark.py gpu               a card; gpu.json, gpu.md

The two sides of a line run in turn, in one process, so that a busy minute
falls on both; each part has a process of its own, so that neither compiler
flags nor memory carry over. Close what else is running: its share of the
processor is printed too. A part is a file of tools/benchmarks/. The part `gpu`
runs alone, and needs jax, flax, optax, numpy and torch but nothing else.
"""

import argparse
import concurrent.futures
import datetime
import importlib
import importlib.metadata
import json
import math
import multiprocessing
import os
import pathlib
import platform
import sys
from collections.abc import Sequence

try:
  from benchmarks import timing
  from bfjax import atomic, errors, text
except ModuleNotFoundError as error:
  sys.exit(
    f'No module called {error.name}. Install the project with what it is '
    "compared with: pip install -e '.[test]'"
  )

_PACKAGES = (
  'numpy jax jaxlib flax tensorflow-cpu tensorflow torch opencv-python-headless'
)
_GPU = 'gpu'  # not among those that run where none is named
_HEADINGS = ('what', 'ours', 'theirs', 'ratio', 'goal', 'note')


def part_names() -> list[str]:
  """The parts there are: the modules of tools/benchmarks but `timing`."""
  folder = pathlib.Path(__file__).parent / 'benchmarks'
  names = {path.stem for path in folder.glob('*.py')}
  return sorted(names - {'__init__', 'timing'})


def run_part(name: str, repeats: int) -> tuple[list[timing.Row], float]:
  """Runs one part in this process.

  Returns:
    its rows, and the share of the machine's processors that other processes
    took meanwhile.

  Raises:
    UserError: if a module is not installed.
  """
  try:
    part = importlib.import_module(f'benchmarks.{name}')
    timing.load_of_others()
    rows = part.run(repeats=repeats)
  except ModuleNotFoundError as error:
    raise errors.UserError(
      f'The part {name!r} needs the module {error.name}. Install what this '
      "project is compared with: pip install -e '.[test]'"
    ) from error
  return rows, timing.load_of_others()


def run_part_apart(name: str, repeats: int) -> tuple[list[timing.Row], float]:
  """`run_part` in a fresh process."""
  with concurrent.futures.ProcessPoolExecutor(
    1, mp_context=multiprocessing.get_context('spawn')
  ) as pool:
    return pool.submit(run_part, name, repeats).result()


def table(rows: Sequence[timing.Row]) -> str:
  """A Markdown table, aligned so that it can be read as it stands."""
  return text.table([_HEADINGS, *map(_cells, rows)])


def _cells(row: timing.Row) -> tuple[str, ...]:
  ratio = '' if math.isnan(row.ratio) else _with_quartiles(row.ratios, '')
  return (
    row.what,
    _side(row.ours, row.ours_secs, row.unit),
    _side(row.theirs, row.theirs_secs, row.unit),
    ratio,
    row.goal,
    row.note,
  )


def _side(label: str, values: Sequence[float], unit: str) -> str:
  measured = _with_quartiles(values, unit) if len(values) else ''
  return ': '.join(part for part in (label, measured) if part)


def _with_quartiles(values: Sequence[float], unit: str) -> str:
  """'3.12 ms (3.05-3.40)': the median and the quartiles, in one unit."""
  low, middle, high = timing.quartiles(values)
  prefixes = {
    's': ((1, 's'), (1e-3, 'ms'), (1e-6, 'us')),
    'B': ((1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB'), (1, 'B')),
    '': ((1, ''),),
  }[unit]
  size, name = next((p for p in prefixes if abs(middle) >= p[0]), prefixes[-1])
  median = f'{_digits(middle / size)} {name}'.strip()
  if low == high:
    return median
  return f'{median} ({_digits(low / size)}-{_digits(high / size)})'


def _digits(value: float) -> str:
  """Three digits that count: 0.0123, 1.23, 12.3, 123, 1234."""
  if value == 0:
    return '0'
  decimals = 2 - math.floor(math.log10(abs(value)))
  return f'{value:.{max(decimals, 0)}f}'


def machine() -> str:
  """The processor, cores and memory, the date and the versions."""
  versions = []
  for name in _PACKAGES.split():
    try:
      versions.append(f'{name} {importlib.metadata.version(name)}')
    except importlib.metadata.PackageNotFoundError:
      continue
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
  return (
    f'{datetime.date.today():%Y-%m-%d}, {_processor()}, '
    f'{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory, '
    f'{platform.system()} {platform.machine()}\n'
    f'Python {platform.python_version()}, {", ".join(versions)}'
  )


def _processor() -> str:
  """The model of the processor, as Linux names it."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    for line in cpuinfo.read_text().splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor() or platform.machine()


def report(
  rows: Sequence[timing.Row], loads: dict[str, float], repeats: int
) -> str:
  """The table with all that is needed to read it."""
  # A card is too small for both.
  apart = set(loads) == {_GPU}
  turns = 'one side after the other' if apart else 'the two sides in turn'
  others = ', '.join(
    f'{name} {"not told" if math.isnan(load) else f"{load:.0%}"}'
    for name, load in loads.items()
  )
  return (
    f'{machine()}\n\n{table(rows)}\n\n'
    f'Median of {repeats} repeats, {turns} (quartiles in '
    'brackets). ratio: theirs / ours, the median over the repeats; over 1 '
    'where ours is faster or smaller.\n'
    f'Share of all processors taken by other processes meanwhile: {others}.\n'
  )


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the parts that are named, and prints what they measured."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    'part', nargs='*', help=f'of {", ".join(part_names())}; all by default'
  )
  parser.add_argument(
    '--repeats', type=int, default=5, help='measurements of each, default 5'
  )
  parser.add_argument(
    '--markdown', metavar='FILE', help='write the report there as well'
  )
  parser.add_argument(
    '--json', metavar='FILE', help='write all numbers there as well'
  )
  options = parser.parse_args(argv)
  if options.repeats < 1:
    parser.error('--repeats must be at least 1')
  rows, loads = [], {}
  try:
    for name in options.part:
      errors.choose('part', name, dict.fromkeys(part_names()))
    parts = options.part or [x for x in part_names() if x != _GPU]
    if parts == [_GPU]:
      options.json = options.json or f'{_GPU}.json'
      options.markdown = options.markdown or f'{_GPU}.md'
    for i, name in enumerate(parts):
      print(f'[{i + 1}/{len(parts)}] {name} ...', file=sys.stderr, flush=True)
      found, loads[name] = run_part_apart(name, options.repeats)
      rows += found
      if len(parts) > 1:  # in case that a later one fails
        print(table(found), file=sys.stderr, flush=True)
  except errors.UserError as error:
    print(error, file=sys.stderr)
    return 2
  text = report(rows, loads, options.repeats)
  print(text)
  if options.markdown:
    atomic.write_text(options.markdown, text)
  if options.json:
    data = {
      'machine': machine(),
      'repeats': options.repeats,
      'load_of_others': {
        k: None if math.isnan(v) else v for k, v in loads.items()
      },
      'rows': [row._asdict() for row in rows],
    }
    atomic.write_text(options.json, json.dumps(data, indent=1) + '\n')
  return 0


if __name__ == '__main__':
  sys.exit(main())

"""Tries the readers of binary files on a million files made to break them.

    python tools/fuzz.py                              all three readers
    python tools/fuzz.py packs --count 100000 --seed 7
    python tools/fuzz.py records --engine atheris     guided by coverage

The readers are of RecordIO files (`records`), verification packs (`packs`) and
encoded images (`images`). Each runs in a process that is watched: it may take a
file or refuse it with a message; it may not raise anything else, die, take long
or keep memory. What makes it do so is kept in the folder --out, and the command
then ends with status 2. The same seed gives the same files (but to atheris).
"""

import argparse
import json
import pathlib

from bfjax import command, errors
from fuzzing import supervisor, worker

_READERS = ('records', 'packs', 'images')


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('readers', nargs='*', help=f'of {", ".join(_READERS)} (all)')
  add(
    '--count',
    type=int,
    default=1_000_000,
    help='files, of all readers together (1,000,000)',
  )
  add(
    '--engine',
    default='mutate',
    choices=worker.ENGINES,
    help='what makes the files: our own mutations, or those that hypothesis or '
    'atheris lead (mutate)',
  )
  add('--seed', type=int, default=0, help='names the files (0)')
  add(
    '--time-limit',
    type=float,
    default=20.0,
    metavar='SECS',
    help='for one file (20)',
  )
  add(
    '--growth-limit',
    type=float,
    default=300.0,
    metavar='MIB',
    help='of memory, over all files (300)',
  )
  add(
    '--out',
    type=pathlib.Path,
    default=pathlib.Path('fuzz-findings'),
    help='folder for files that break a reader (fuzz-findings)',
  )
  add('--json', type=pathlib.Path, help='write the numbers there too')
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Tries the readers and prints a line for each.

  Raises:
    UserError: if a reader is broken, or an argument is wrong.
  """
  readers = arguments.readers or list(_READERS)
  for name in readers:
    errors.choose('reader', name, dict.fromkeys(_READERS))
  if arguments.count < len(readers) or arguments.seed < 0:
    raise errors.UserError(
      '--count must be at least the number of readers, --seed 0 or more.'
    )
  reports = []
  for place, name in enumerate(readers):
    # The last ones take what does not divide evenly.
    count = (arguments.count + place) // len(readers)
    report = supervisor.run(
      name,
      count=count,
      seed=arguments.seed,
      out=arguments.out,
      engine=arguments.engine,
      time_limit_secs=arguments.time_limit,
      growth_limit_mib=arguments.growth_limit,
    )
    print(_line(report), flush=True)
    reports.append(report)
  if arguments.json:
    found = [
      {**r._asdict(), 'findings': [f._asdict() for f in r.findings]}
      for r in reports
    ]
    arguments.json.write_text(json.dumps(found, indent=2) + '\n')
  findings = [finding for report in reports for finding in report.findings]
  if findings:
    raise errors.UserError(
      f'{len(findings)} files break a reader:\n'
      + '\n'.join(f'{f.path} (input {f.number}): {f.what}' for f in findings)
    )


def _line(report: supervisor.Report) -> str:
  return (
    f'{report.target}: {report.inputs} files by {report.engine}, '
    f'{report.taken} taken, {report.refused} refused, '
    f'{len(report.findings)} broke it; memory grew by {report.growth_mib} MiB '
    f'(at most {report.peak_mib}); {report.secs} s'
  )


if __name__ == '__main__':
  command.run('fuzz', lambda: main(parse_arguments()))

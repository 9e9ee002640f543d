"""Trains a study, many methods on many mixes of noise, and makes its tables.

    python tools/study.py --config=configs/study.py --workdir=DIR --jobs=2
    python tools/study.py --config=configs/study.py --workdir=DIR --table
    python tools/study.py --workdir=DIR --table A/study.json B

The first trains what is not finished yet, so the same command goes on after a
stop, and what failed is tried again. Trainings of the same config are done
once, in DIR/runs. DIR gets study.md, the tables; study.json, all numbers of all
runs, each with what its config changes; and charts. What an earlier part of the
study has left in the same DIR stays in them. The second only makes the tables;
the third makes them of what others hold, a folder or a study.json each, whose
runs need not be there.
"""

import argparse
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal

import tqdm

from bfjax import command, errors, runtime


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--config', default='', metavar='FILE[:PART]', help='the study')
  add('--workdir', required=True, type=pathlib.Path, help='its folder')
  add('--mixes', type=_words, default=[], help='of these alone: a,b')
  add('--methods', type=_words, default=[], help='of these alone: a,b')
  add('--seeds', type=_numbers, default=[], help="these, not the config's: 1,2")
  add(
    '--jobs',
    type=int,
    default=1,
    help='trainings at a time, a share of the cores each (1)',
  )
  add(
    '--keep',
    action='store_true',
    help='keep checkpoints and the like of finished trainings',
  )
  add('--table', action='store_true', help='train nothing')
  add(
    'results',
    nargs='*',
    type=pathlib.Path,
    help='others to be merged: the folder of a study, or its study.json',
  )
  return parser.parse_args(arguments)


def _words(text: str) -> list[str]:
  return [word.strip() for word in text.split(',') if word.strip()]


def _numbers(text: str) -> list[int]:
  return [int(word) for word in _words(text)]


def main(arguments: argparse.Namespace) -> None:
  """Trains, unless --table, and writes tables and charts.

  Raises:
    UserError: for whatever is wrong with the arguments or the study; and at
      the end, if trainings failed.
  """
  from bfjax import configfile

  if not arguments.config and not arguments.table:
    raise errors.UserError(
      'Give --config, such as configs/study.py:claims, or --table for tables of'
      ' what there is.'
    )
  study = arguments.config and configfile.load(arguments.config)
  with _alone_in(arguments.workdir):
    failed = []
    if not arguments.table:
      failed = _train(arguments, study)
    text = _write(arguments, study, with_charts=True)
  print(text)
  print(f'Wrote {arguments.workdir / "study.md"}')
  if failed:
    raise errors.UserError(
      f'{len(failed)} trainings failed:\n' + '\n'.join(failed)
    )


def _train(arguments, study) -> list[str]:
  """Trains what is not finished; returns what failed, in words."""
  from bfjax import defaults, preflight
  from studies import cells, outcomes, running

  runs = arguments.workdir / 'runs'
  wanted = cells.select(
    study, arguments.mixes, arguments.methods, arguments.seeds
  )
  shares = running.shares(sorted(os.sched_getaffinity(0)), arguments.jobs)
  distinct = {}
  for training in wanted:
    distinct.setdefault(training.digest, training)
  jobs, names = [], {}
  checked = set()
  for training in distinct.values():
    folder = outcomes.folder_of(runs, training)
    if outcomes.is_finished(folder):
      _remove(arguments, study, folder)
      continue
    if (training.mix, training.method) not in checked:
      preflight.check(training.config, defaults.get_config(), folder, 'train')
      checked.add((training.mix, training.method))
    job = running.Job(training.config, folder)
    jobs.append(job)
    names[folder] = f'{training.mix}, {training.method}, seed {training.seed}'
  print(
    f'{len(wanted)} trainings, {len(distinct)} of them distinct; {len(jobs)} to'
    ' be done.'
  )
  failed = []
  with tqdm.tqdm(total=len(jobs), unit='training', smoothing=0) as bar:

    def done(job, error):
      if error:
        failed.append(f'{names[job.folder]}: {error}')
      else:
        _remove(arguments, study, job.folder)
      _write(arguments, study)
      bar.write(f'{names[job.folder]}: {"failed" if error else "finished"}')
      bar.update()

    running.run_all(jobs, shares, done)
  return failed


def _remove(arguments, study, folder):
  """Removes what is not kept of a finished training."""
  for pattern in () if arguments.keep else study.remove:
    for path in folder.glob(pattern):
      if path.is_dir():
        shutil.rmtree(path)
      else:
        path.unlink()


def _write(arguments, study, with_charts=False) -> str:
  """Writes tables, numbers and charts of what there is; returns the tables."""
  from bfjax import atomic
  from studies import cells, charts, outcomes, tables

  workdir = arguments.workdir
  several = [outcomes.read(path) for path in arguments.results]
  old = workdir / outcomes.FILE
  before = outcomes.read(old) if old.exists() else None
  if study:
    known = before.outcomes if before else []
    seeds = {
      *study.seeds,
      *arguments.seeds,
      *(x.seed for x in known if x.scores),
    }
    trainings = cells.select(study, seeds=sorted(seeds))
    found = outcomes.collect(study, trainings, workdir / 'runs', known)
    several.insert(0, found)
    if before:
      mine = {(x.mix, x.method) for x in trainings}
      rest = [x for x in known if (x.mix, x.method) not in mine]
      if rest:
        several.append(before._replace(outcomes=rest))
  elif before and not several:
    several = [before]
  if not several:
    raise errors.UserError(
      f'There is no {old}: give --config, or what is to be merged.'
    )
  results = outcomes.merge(several)
  outcomes.write(old, results)
  text = tables.render(results)
  if with_charts:
    drawn = charts.draw(results)
    for name, png in drawn.items():
      with atomic.writing(workdir / name) as draft:
        draft.write_bytes(png)
    text += ''.join(f'\n![{name}]({name})\n' for name in drawn)
  atomic.write_text(workdir / 'study.md', text)
  return text


@contextlib.contextmanager
def _alone_in(workdir):
  """Keeps other studies out of a folder, which is made."""
  workdir.mkdir(parents=True, exist_ok=True)
  with open(workdir / '.lock', 'w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise errors.UserError(
        f'Another study is at work in {workdir}. Wait for it or stop it, or'
        ' give another --workdir.'
      ) from error
    yield


if __name__ == '__main__':
  # As Ctrl-C: the trainings save their state.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  runtime.start()
  command.run('study', lambda: main(parse_arguments()))

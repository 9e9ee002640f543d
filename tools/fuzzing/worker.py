"""The process that tries a reader; it dies of what goes wrong in it."""

import faulthandler
import importlib
import logging
import mmap
import multiprocessing
import os
import random
import threading
import warnings

import tqdm

from fuzzing import mutations

# What the supervisor reads: the number of the present input, how many were
# taken and refused, whether the first is begun, its length, its bytes.
NUMBER, TAKEN, REFUSED, BEGUN, LENGTH, START = 0, 8, 16, 24, 32, 40
STATE_BYTES = START + mutations.MAX_BYTES + 4096
# The log is cut after as many inputs: the decoders have much to say.
_LOGGED_INPUTS = 1024
_STDERR = 2
_MODULE = 'fuzzing.targets'


def run(target, engine, seed, first, last, state_path, folder) -> None:
  """Tries the inputs first .. last - 1, then ends the process.

  Args:
    target: a name that `open_target` of a module knows, 'packs', or with the
      module, 'tests.planted:packs'.
    engine: 'mutate', 'hypothesis' or 'atheris'.
    seed: names the inputs; they are the same every time, but for atheris.
    first: the number of the first.
    last: one more than that of the last.
    state_path: a file of STATE_BYTES, which tells how far this is.
    folder: what is printed goes to `log` in it; atheris keeps its files there.
  """
  options = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
  log = os.open(os.path.join(folder, 'log'), options)
  os.dup2(log, 1)
  os.dup2(log, _STDERR)
  faulthandler.enable()
  logging.disable()
  # Each would be kept, to be said once.
  warnings.simplefilter('ignore')
  # Its own is shared by processes, and reported as lost when this one dies.
  tqdm.tqdm.set_lock(threading.RLock())
  with open(state_path, 'r+b') as file:
    state = mmap.mmap(file.fileno(), STATE_BYTES)
  _ENGINES[engine](target, seed, first, last, state, folder)
  _put(state, NUMBER, last)


def make_input(target, seed: int, number: int) -> bytes:
  """The input of this number: a seed of the reader, broken."""
  draw = random.Random(seed << 40 | number)
  data, other = draw.choice(target.seeds), draw.choice(target.seeds)
  edits = mutations.draw_edits(draw)
  return mutations.apply(data, edits, other, target.tokens)


def _open(target, folder):
  module, _, name = target.rpartition(':')
  return importlib.import_module(module or _MODULE).open_target(name, folder)


def _mutate(target, seed, first, last, state, folder):
  opened = _open(target, folder)
  for number in range(first, last):
    _attempt(opened, make_input(opened, seed, number), state)
    _put(state, NUMBER, number + 1)


def _hypothesis(target, seed, first, last, state, folder):
  import hypothesis
  from hypothesis import strategies as st

  opened = _open(target, folder)
  files = st.one_of(st.sampled_from(opened.seeds), st.binary())
  edit = st.tuples(
    st.integers(0, 255), st.integers(0, 2**24 - 1), st.integers(0, 2**32 - 1)
  )

  @hypothesis.seed(seed << 40 | first)
  @hypothesis.settings(
    max_examples=last - first,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(files, st.lists(edit, max_size=8), files)
  def attempt(data, edits, other):
    data = mutations.apply(data, edits, other, opened.tokens)
    _attempt(opened, data, state)
    _put(state, NUMBER, _get(state, NUMBER) + 1)

  attempt()


def _atheris(target, seed, first, last, state, folder):
  import atheris

  with atheris.instrument_imports(include=['bfjax.data']):
    opened = _open(target, folder)
  corpus = os.path.join(folder, 'corpus')
  os.makedirs(corpus, exist_ok=True)
  for number, data in enumerate(opened.seeds):
    with open(os.path.join(corpus, f'seed{number}'), 'wb') as file:
      file.write(data)
  with open(os.path.join(folder, 'tokens'), 'w', encoding='ascii') as file:
    for token in opened.tokens:
      quoted = ''.join(f'\\x{byte:02x}' for byte in token)
      file.write(f'"{quoted}"\n')

  def attempt(data):
    _attempt(opened, data, state)
    _put(state, NUMBER, _get(state, NUMBER) + 1)

  options = [
    f'-runs={last - first}',
    f'-seed={(seed << 20 | first) % 2**31 + 1}',
    f'-max_len={mutations.MAX_BYTES}',
    f'-dict={folder}/tokens',
    f'-artifact_prefix={folder}/',
    '-timeout=600',
    '-rss_limit_mb=0',  # both are the supervisor's
    corpus,
  ]
  atheris.Setup(['fuzz', *options], attempt)
  atheris.Fuzz()


def _attempt(opened, data, state):
  _put(state, BEGUN, 1)
  _put(state, LENGTH, len(data))
  if _get(state, NUMBER) % _LOGGED_INPUTS == 0:
    os.ftruncate(_STDERR, 0)
    if not multiprocessing.parent_process().is_alive():
      os._exit(1)
  state[START : START + len(data)] = data
  taken = opened.attempt(data)
  place = TAKEN if taken else REFUSED
  _put(state, place, _get(state, place) + 1)


def _get(state, place):
  return int.from_bytes(state[place : place + 8], 'little')


def _put(state, place, value):
  state[place : place + 8] = value.to_bytes(8, 'little')


_ENGINES = {
  'mutate': _mutate,
  'hypothesis': _hypothesis,
  'atheris': _atheris,
}
ENGINES = tuple(_ENGINES)

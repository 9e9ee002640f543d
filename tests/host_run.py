"""The command `bfjax`, with an eye on what each process reads and gathers.

$HOST_RUN_NOTES: a folder; process I writes I.json into it when it ends well:
the rows of the data set that it has read, and the longest axis of what it has
gathered of all processes.
$HOST_RUN_BAD: a process that cannot read its images.
$HOST_RUN_SLOW: process 1 compiles its step so many seconds longer.
"""

import json
import os
import pathlib
import sys
import time

from bfjax import errors, main, peers, runtime


def watch(folder, slow_secs):
  """Called once the process has joined the others."""
  import jax
  from jax.experimental import multihost_utils

  from bfjax.data import labelled

  seen = {'rows': set(), 'longest': 0}
  read, gather = labelled.Source.read, multihost_utils.process_allgather
  compile_ = jax.stages.Lowered.compile

  def reading(self, rows):
    seen['rows'] |= {int(row) for row in rows}
    if os.environ.get('HOST_RUN_BAD') == str(jax.process_index()):
      raise errors.UserError('The disk of this host is gone.')
    return read(self, rows)

  def gathering(tree, tiled=False):
    found = gather(tree, tiled)
    axes = [n for x in jax.tree.leaves(found) for n in x.shape]
    seen['longest'] = max([seen['longest'], *axes])
    return found

  def compiling(self, *arguments, **options):
    if jax.process_index() == 1:
      time.sleep(slow_secs)
    return compile_(self, *arguments, **options)

  labelled.Source.read = reading
  multihost_utils.process_allgather = gathering
  jax.stages.Lowered.compile = compiling
  exchange = peers.exchange

  def exchanging(what, word=None):
    words = exchange(what, word)
    axes = [len(x) for x in words if isinstance(x, list)]
    seen['longest'] = max([seen['longest'], *axes])
    if folder:
      path = pathlib.Path(folder, f'{jax.process_index()}.json')
      path.write_text(json.dumps(seen | {'rows': sorted(seen['rows'])}))
    return words

  peers.exchange = exchanging


def join(*arguments):
  joined(*arguments)
  watch(
    os.environ.get('HOST_RUN_NOTES'), float(os.environ.get('HOST_RUN_SLOW', 0))
  )


joined, runtime.join_processes = runtime.join_processes, join
sys.argv[0] = 'bfjax'
main.entry()

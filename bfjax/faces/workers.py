"""Renders faces in several processes, none of them a fork of this one.

A fork of a process in which JAX or TensorFlow run threads may hang, and
`multiprocessing` in its other ways of starting processes imports the main
module again in each of them, which here would be the whole trainer. So the
workers are plain Python programs that import nothing but the generator:

    python -m bfjax.faces.workers '{"root": ..., "part": ..., ...}'
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import cv2

from bfjax import errors, faces
from bfjax.faces import sets

_USER_ERROR = 2


def render(
  root: pathlib.Path, face_set: sets.FaceSet, processes: int
) -> Iterator[int]:
  """Renders all images of a set and yields each person's number once done.

  The workers end when the iterator is closed, and, at their next person, if
  this process dies.

  Args:
    root: an existing folder without these people in it.
    face_set: which images.
    processes: how many processes; 1 for this one alone.

  Raises:
    UserError: if a file cannot be written or a worker is killed.
    RuntimeError: if a worker fails otherwise.
  """
  processes = min(processes, face_set.identities)
  if processes > 1:
    yield from _render_in_processes(root, face_set, processes)
  else:
    yield from _render_part(root, face_set, part=0, parts=1)


def _render_part(
  root: pathlib.Path, face_set: sets.FaceSet, part: int, parts: int
) -> Iterator[int]:
  """Renders every `parts`-th person from number `part` on."""
  for identity in face_set.numbers[part::parts]:
    images = faces.render(
      face_set.seed,
      identity,
      range(face_set.images_per_identity),
      size=face_set.size,
      difficulty=face_set.difficulty,
    )
    try:
      (root / sets.person_name(identity)).mkdir()
      for number, image in enumerate(images):
        path = root / sets.image_name(identity, number)
        path.write_bytes(faces.encode(image))
    except OSError as error:
      raise errors.UserError(
        f'Cannot write the rendered faces: {error}. Is there room on the disk?'
      ) from error
    yield identity


def _render_in_processes(
  root: pathlib.Path, face_set: sets.FaceSet, processes: int
) -> Iterator[int]:
  # All workers write into one pipe, in lines short enough to be atomic; it
  # ends when the last worker has ended.
  read_end, write_end = os.pipe()
  started = []
  with (
    open(read_end, encoding='ascii') as lines,
    tempfile.TemporaryFile('w+') as messages,
  ):
    try:
      with open(write_end, 'wb') as pipe:
        for part in range(processes):
          job = {
            'root': str(root),
            'face_set': face_set._asdict(),
            'part': part,
            'parts': processes,
          }
          started.append(_start(job, pipe, messages))
      for line in lines:
        yield int(line)
        if any(worker.poll() for worker in started):
          break
      _check_ends(started, messages)
    finally:
      for worker in started:
        worker.kill()
        worker.wait()


def _start(job: dict[str, Any], pipe, messages) -> subprocess.Popen:
  package = pathlib.Path(__file__).parents[2]
  search = [str(package), os.environ.get('PYTHONPATH', '')]
  return subprocess.Popen(
    [sys.executable, '-m', __name__, json.dumps(job)],
    stdin=subprocess.DEVNULL,
    stdout=pipe,
    stderr=messages,
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join(filter(None, search)),
      # A worker is one thread: there are as many workers as cores.
      'OMP_NUM_THREADS': '1',
      'OPENBLAS_NUM_THREADS': '1',
    },
  )


def _check_ends(started: list[subprocess.Popen], messages) -> None:
  """Raises if a worker has ended in failure."""
  codes = []
  for worker in started:
    # Once one has failed the others need not come to their end.
    code = worker.poll() if any(codes) else worker.wait()
    codes.append(code or 0)
  if not any(codes):
    return
  messages.seek(0)
  text = messages.read().strip()
  if _USER_ERROR in codes:
    raise errors.UserError(text)
  if min(codes) < 0:
    raise errors.UserError(
      f'A process that renders faces was killed by signal {-min(codes)}. '
      'If memory is short, render with fewer processes.'
    )
  raise RuntimeError(f'A process that renders faces has failed:\n{text}')


def _main(argument: str) -> None:
  """A worker: renders its part, writing the number of each person done."""
  cv2.setNumThreads(1)
  job = json.loads(argument)
  face_set = sets.FaceSet(**job['face_set'])
  root = pathlib.Path(job['root'])
  for identity in _render_part(root, face_set, job['part'], job['parts']):
    # One write a line: print may make it two, which others come between.
    os.write(sys.stdout.fileno(), f'{identity}\n'.encode())


if __name__ == '__main__':
  try:
    _main(sys.argv[1])
  except errors.UserError as error:
    print(error, file=sys.stderr)
    sys.exit(_USER_ERROR)
  except BrokenPipeError:
    # The process that started this one is gone, and so is its need of faces.
    sys.exit(1)

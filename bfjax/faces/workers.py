"""Writes the images of a set of faces, in several processes.

None of them is a fork of this one: a fork of a process in which JAX or
TensorFlow run threads may hang, and `multiprocessing` in its other ways of
starting processes imports the main module again in each of them, which here
would be the whole trainer. So each is a plain Python program that renders some
of the people and imports nothing but the generator:

    python -m bfjax.faces.workers ROOT '{"seed": ..., "identities": ..., ...}'
"""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures

import cv2
import numpy as np
import tqdm

from bfjax import errors, faces
from bfjax.faces import sets

# Images that a process is worth (its start takes as long as some hundreds), and
# those after which it ends and the progress is shown.
_FEWEST, _MOST = 500, 2000
_USER_ERROR = 2


def write_images(
  root: pathlib.Path, face_set: sets.FaceSet, processes: int = 0
) -> None:
  """Renders all images into the folder `root`, with a progress bar.

  The others end at their next person if this process dies.

  Args:
    root: an existing folder without these people in it.
    face_set: which images, checked.
    processes: how many render at a time; 0 for as many as there are cores
      (fewer for a small set), 1 for this one alone.

  Raises:
    UserError: if a file cannot be written or a process is killed.
    RuntimeError: if a process fails otherwise.
  """
  if processes < 0:
    raise errors.UserError(
      'processes must be 0 (as many as there are cores) or more, '
      f'not {processes}.'
    )
  if not processes:
    useful = 1 + face_set.num_images // _FEWEST
    processes = min(len(os.sched_getaffinity(0)), useful)
  render = _render_in_processes if processes > 1 else _render_here
  total = face_set.num_images
  with tqdm.tqdm(
    desc='Rendering faces', total=total, unit='image', unit_scale=True
  ) as bar:
    for number in render(root, face_set, processes):
      bar.update(number)


def _render_here(root, face_set, processes=1) -> Iterator[int]:
  """Renders all people; yields the number of images of each once done."""
  for identity in face_set.numbers:
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
    yield len(images)


def _render_in_processes(root, face_set, processes) -> Iterator[int]:
  """The same, of some people at a time, as many for each process."""
  rounds = -(-face_set.num_images // (processes * _MOST))
  count = min(rounds * processes, face_set.identities)
  parts = [
    face_set._replace(first_identity=int(part[0]), identities=len(part))
    for part in np.array_split(face_set.numbers, count)
  ]
  with futures.ThreadPoolExecutor(processes) as pool:
    jobs = [pool.submit(_render_in_a_process, root, part) for part in parts]
    try:
      for job in futures.as_completed(jobs):
        yield job.result()
    finally:
      pool.shutdown(cancel_futures=True)


def _render_in_a_process(root: pathlib.Path, face_set: sets.FaceSet) -> int:
  package = str(pathlib.Path(__file__).parents[2])
  search = [package, *filter(None, [os.environ.get('PYTHONPATH')])]
  # One thread: there are as many processes as cores.
  one_thread = {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
  done = subprocess.run(
    [sys.executable, '-m', __name__, root, json.dumps(face_set._asdict())],
    stdin=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    env=os.environ | one_thread | {'PYTHONPATH': os.pathsep.join(search)},
    text=True,
  )
  if done.returncode == _USER_ERROR:
    raise errors.UserError(done.stderr.strip())
  if done.returncode < 0:
    raise errors.UserError(
      f'A process that renders faces was killed by signal {-done.returncode}. '
      'If memory is short, render with fewer processes.'
    )
  if done.returncode:
    raise RuntimeError(f'A process that renders faces failed:\n{done.stderr}')
  return face_set.num_images


def _main(root: str, face_set: str) -> None:
  cv2.setNumThreads(1)
  parent = os.getppid()
  parsed = sets.FaceSet(**json.loads(face_set))
  try:
    for _ in _render_here(pathlib.Path(root), parsed):
      if os.getppid() != parent:
        break
  except errors.UserError as error:
    print(error, file=sys.stderr)
    sys.exit(_USER_ERROR)


if __name__ == '__main__':
  _main(*sys.argv[1:])

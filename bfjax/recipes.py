"""Which config trains a set of a given size on what is at hand, and how long.

A time is reckoned from images/s, measured on a CPU and derived for a GPU, and
is right to a factor of two or three; it is there to tell minutes from days.
"""

import glob
import math
import os
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from bfjax import configfile, errors, runtime

DEVICES = ('cpu', 'gpu')
_SMALL_SET, _LARGE_SET = 100_000, 2_000_000
# Images/s of configs/small.py on one core of a CPU: docs/performance.md, which
# has those of the decoding too, all that its net leaves a GPU to wait for.
_SMALL_PER_CORE = 400
_DECODED_PER_CORE = 9_000
# Of an IR-50 at 112 pixels: 35e9 operations an image, three times 11.7e9.
_IR50_PER_GPU = 140
_GPU_SPEED = '5e12 operations/s'


class Recipe(NamedTuple):
  """What to train with.

  Attributes:
    config: 'configs/small.py:7500'.
    device: 'cpu' or 'gpu'.
    secs: that it takes, roughly.
    time: the same in words, with what it is derived from.
  """

  config: str
  device: str
  secs: float
  time: str


def find_device() -> str:
  """'gpu' if JAX can use one, else 'cpu'; JAX itself is not started."""
  return 'gpu' if runtime.has_accelerator_plugin() and count_gpus() else 'cpu'


def count_gpus() -> int:
  """The GPUs of this machine: NVIDIA's, or one of AMD or seen through WSL."""
  if os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1'):
    return 0
  others = os.path.exists('/dev/kfd') or os.path.exists('/dev/dxg')
  return len(glob.glob('/dev/nvidia[0-9]*')) or int(others)


def recommend(num_images: int, device: str = '') -> Recipe:
  """The config for a set of `num_images`.

  Args:
    num_images: of the training set.
    device: 'cpu' or 'gpu'; '' to find it out.

  Raises:
    UserError: if there is no such device.
  """
  is_given, device = bool(device), device or find_device()
  errors.choose('device', device, dict.fromkeys(DEVICES))
  small = f'small.py:{num_images}'
  if device == 'cpu':
    cores = len(os.sched_getaffinity(0))
    name, rate = small, _SMALL_PER_CORE * cores
    time = (
      f'on {cores} CPU cores, at {_SMALL_PER_CORE} images/s each as in'
      ' docs/performance.md'
    )
    if count_gpus() and not is_given and not runtime.has_accelerator_plugin():
      time += "; for the GPU, first: pip install -e '.[cuda]'"
  elif num_images <= _SMALL_SET:
    name, rate = small, _DECODED_PER_CORE
    time = 'on a GPU, reckoned from the decoding alone and not measured'
  else:
    gpus = max(1, count_gpus())
    name = 'ms1m.py' if num_images > _LARGE_SET else 'casia_noisy.py'
    rate = _IR50_PER_GPU * gpus
    time = f'on {gpus} GPUs, reckoned for {_GPU_SPEED} each and not measured'
  epochs = configfile.load(f'{configfile.folder()}/{name}').epochs
  secs = epochs * num_images / rate
  return Recipe(f'configs/{name}', device, secs, f'{_about(secs)} {time}')


def command(recipe: Recipe, options: Mapping[str, object]) -> list[str]:
  """The command that trains on a set, in lines to be joined for a shell.

  Args:
    recipe: what to train with.
    options: keys of `config.data` and their values.
  """
  return [
    f'python -m bfjax.main --config={recipe.config} --workdir=WORKDIR',
    *(shlex.quote(f'--config.data.{k}={v}') for k, v in options.items()),
  ]


def _about(secs: float) -> str:
  """'about 3 minutes', in whole minutes, hours or days."""
  for unit, size in (('day', 86_400), ('hour', 3_600), ('minute', 60)):
    if secs >= 1.5 * size or unit == 'minute':
      number = max(1, math.floor(secs / size + 0.5))
      return f'about {number} {unit}{"s" if number > 1 else ""}'
  raise AssertionError

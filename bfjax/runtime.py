"""What must be said to JAX before it starts: compiler flags and cache.

Imported first by everything that runs (`bfjax.main`, the tools, the tests);
it imports nothing of the project.
"""

import ctypes
import importlib.metadata
import logging
import mmap
import os
import pathlib

# A process that has not been heard of for so long is taken for dead.
HEARTBEAT_SECS = 40
_JOIN_SECS = 600  # that processes may start apart
_END_SECS = 7200  # and end: the first one writes reports


def default_cache_dir() -> pathlib.Path:
  """The folder for what can be made again: rendered faces, compiled steps.

  `$BFJAX_CACHE`, else `$XDG_CACHE_HOME/bfjax`, else `~/.cache/bfjax`.
  """
  if 'BFJAX_CACHE' in os.environ:
    return pathlib.Path(os.environ['BFJAX_CACHE'])
  base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(base) / 'bfjax'


def add_xla_flag(flag: str) -> None:
  """Appends `--name=value` to XLA_FLAGS unless the user has set that name.

  It is left out where the version of JAX does not know it, which would end the
  process.
  """
  flags, name = os.environ.get('XLA_FLAGS', ''), flag.split('=')[0]
  if name not in flags and _is_known(name.removeprefix('--')):
    os.environ['XLA_FLAGS'] = f'{flags} {flag}'.strip()


def _is_known(name: str) -> bool:
  """Whether a flag of this name stands in XLA's library, as all of them do."""
  jaxlib = importlib.metadata.distribution('jaxlib').locate_file('jaxlib')
  libraries = pathlib.Path(str(jaxlib)).glob('*.so')
  for path in sorted(libraries, key=_size, reverse=True):
    with (
      path.open('rb') as file,
      mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
      if text.find(name.encode()) >= 0:
        return True
  return False


def _size(path: pathlib.Path) -> int:
  return path.stat().st_size


def silence_tensorflow() -> None:
  """Keeps TensorFlow, which only serves data here, from speaking to the user.

  Call it before that is imported.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')


def start(compilation_cache_dir: str | None = None) -> None:
  """Sets JAX's flags and its persistent compilation cache.

  Call it before the first computation.

  Args:
    compilation_cache_dir: where compiled functions are kept between runs;
      None for the default, '' for no cache.
  """
  silence_tensorflow()
  # XLA:CPU runs convolutions faster without YNNPACK. GPUs ignore the flag.
  add_xla_flag('--xla_cpu_experimental_ynn_fusion_type=-individual_convolution')
  import jax  # after the environment is set

  if compilation_cache_dir is None:
    compilation_cache_dir = str(default_cache_dir() / 'xla')
  if compilation_cache_dir:
    jax.config.update('jax_compilation_cache_dir', compilation_cache_dir)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def join_processes(
  coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
  """Joins the other processes of a run; nothing where there are none.

  All but the first then only log warnings.

  Args:
    coordinator: host:port of process 0; 'auto' where a cluster scheduler
      tells JAX by itself; None or '' for a run of one process.
    num_processes: how many there are.
    process_id: which of them this one is, from 0.
  """
  if not coordinator:
    return
  import jax

  detects = coordinator == 'auto'
  jax.distributed.initialize(
    coordinator_address=None if detects else coordinator,
    num_processes=None if detects else num_processes,
    process_id=None if detects else process_id,
    # Else a scheduler would be asked, which gives each process one device.
    cluster_detection_method=None if detects else 'deactivate',
    initialization_timeout=_JOIN_SECS,
    heartbeat_timeout_seconds=HEARTBEAT_SECS,
    shutdown_timeout_seconds=_END_SECS,
  )
  if jax.process_index():
    logging.getLogger('bfjax').setLevel(logging.WARNING)


def has_accelerator_plugin() -> bool:
  """Whether JAX may find an accelerator here, besides the CPU."""
  is_off = os.environ.get('JAX_PLATFORMS') == 'cpu'
  plugins = importlib.metadata.entry_points(group='jax_plugins')
  return bool(plugins) and not is_off


# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_memory() -> None:
  """Where there is only the CPU, keeps freed memory for the next step.

  A step on the CPU takes its temporary arrays from malloc, a gigabyte or two
  for an IR-50, and glibc hands them back to the system each time; to get them
  anew page by page takes a tenth of the step. Nothing is done where JAX has a
  plug-in for accelerators, or with another C library. For programs, not for
  libraries: it holds for the whole process. Call it before anything else, as
  it does not reach threads that have allocated already.
  """
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  if mallopt and not has_accelerator_plugin():
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)
    mallopt(_M_ARENA_MAX, 1)

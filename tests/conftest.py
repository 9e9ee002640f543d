"""Eight virtual CPU devices, strict promotion, one compilation cache."""

from bfjax import runtime

runtime.add_xla_flag('--xla_force_host_platform_device_count=8')
runtime.start()

import jax  # noqa: E402  (after the flags)
import pytest  # noqa: E402

jax.config.update('jax_numpy_rank_promotion', 'raise')


@pytest.fixture(scope='module')
def quick_compilation():
  """For modules that compile many small nets and run each of them once."""
  settings = {
    'jax_disable_most_optimizations': True,
    'jax_persistent_cache_min_compile_time_secs': 0.05,
  }
  before = {name: jax.config.values[name] for name in settings}
  for name, value in settings.items():
    jax.config.update(name, value)
  yield
  for name, value in before.items():
    jax.config.update(name, value)

"""Eight virtual CPU devices, strict promotion, one compilation cache."""

from bfjax import runtime

runtime.add_xla_flag('--xla_force_host_platform_device_count=8')
runtime.start()

import jax  # noqa: E402  (after the flags)

jax.config.update('jax_numpy_rank_promotion', 'raise')

"""What JAX is told before it starts."""

import pytest

from bfjax import runtime

KNOWN = '--xla_force_host_platform_device_count'


@pytest.fixture
def flags(monkeypatch):
  """XLA_FLAGS as set by: a function of the flags to add."""

  def of(*added, before=''):
    monkeypatch.setenv('XLA_FLAGS', before)
    for flag in added:
      runtime.add_xla_flag(flag)
    return runtime.os.environ['XLA_FLAGS']

  return of


def test_flags_are_added_one_behind_the_other(flags):
  assert flags(f'{KNOWN}=2', before='--xla_a=1') == f'--xla_a=1 {KNOWN}=2'


def test_what_the_user_has_set_stays(flags):
  assert flags(f'{KNOWN}=2', before=f'{KNOWN}=7') == f'{KNOWN}=7'


def test_a_flag_that_this_jax_does_not_know_is_left_out(flags):
  """XLA ends the process at one."""
  assert flags('--xla_of_another_version=1', f'{KNOWN}=2') == f'{KNOWN}=2'

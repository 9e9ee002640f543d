"""Readers with the faults that the fuzzer must find."""

import ctypes
import time

from bfjax import errors
from fuzzing import targets

_kept = []


def _crash(data):
  ctypes.string_at(0)


def _raise(data):
  raise ZeroDivisionError('planted')


def _hang(data):
  time.sleep(3600)


def _grow(data):
  _kept.append(b'x' * (1 << 20))
  time.sleep(0.005)
  return True


def _attempt(fault):
  def attempt(data):
    if b'fault' in data:
      fault(data)
    return True

  return attempt


def open_target(name: str, folder) -> targets.Target:
  """A reader that breaks at some of its inputs, or good."""
  known = {
    'crash': _attempt(_crash),
    'raise': _attempt(_raise),
    'hang': _attempt(_hang),
    'grow': _grow,
    'good': lambda data: len(data) % 2 == 0,
  }
  attempt = errors.choose('reader', name, known)
  return targets.Target([b'seed' * 8, b'other'], [b'fault'], attempt)

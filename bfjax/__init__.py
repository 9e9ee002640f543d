"""Face recognition trained on noisy labels, in JAX.

    import bfjax

    model = bfjax.load('runs/mine')
    features = model.embed(['one.jpg', 'other.jpg'])
    cosine = model.similarity('one.jpg', 'other.jpg')

The names in `__all__` are what is meant to be used from Python, and keep their
meaning; docs/python.md has all of them. They are imported at first use, so this
package itself loads neither JAX nor TensorFlow.
"""

import importlib

__version__ = '0.1.0'

# Name -> module that has it, or that it is.
_PLACES = {
  'FaceModel': 'facemodel',
  'UserError': 'errors',
  'clean': 'api',
  'evaluate': 'api',
  'load': 'facemodel',
  'train': 'api',
  'heads': 'heads',
  'labels': 'labels',
  'sharding': 'sharding',
}
__all__ = [*_PLACES, '__version__']  # noqa: PLE0604


def __getattr__(name: str):
  if name not in _PLACES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module = importlib.import_module(f'{__name__}.{_PLACES[name]}')
  return module if _PLACES[name] == name else getattr(module, name)


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})

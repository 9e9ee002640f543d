"""What the face does in an image."""

from typing import NamedTuple

import numpy as np

from bfjax.faces import nuisances


class Expression(NamedTuple):
  """Expressions of n images; each float64 [n].

  Lengths are in half head widths; `smile` has no unit (0 none, 1 broad), and
  `eye_open` is a factor on the opening of the person's eyes.
  """

  smile: np.ndarray
  mouth_open: np.ndarray
  eye_open: np.ndarray
  brow_raise: np.ndarray
  frown: np.ndarray
  gaze_x: np.ndarray
  gaze_y: np.ndarray


def make_expression(draws: nuisances.Draws, strength: float) -> Expression:
  """Expressions from their draws; `strength` 0 is a still face."""
  smile = (0.5 * draws.smile + 0.15) * strength
  # A smile narrows the eyes.
  eye_open = 1 + 0.22 * draws.eye_open * strength - 0.12 * np.maximum(smile, 0)
  return Expression(
    smile=smile,
    mouth_open=0.075 * np.maximum(0, draws.mouth_open - 0.35) * strength,
    eye_open=np.clip(eye_open, 0.12, 1.45),
    brow_raise=0.03 * draws.brow_raise * strength,
    frown=0.03 * draws.frown * strength,
    gaze_x=0.045 * draws.gaze_x * strength,
    gaze_y=0.02 * draws.gaze_y * strength,
  )

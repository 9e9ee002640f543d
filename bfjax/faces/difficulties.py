"""How much the images of one person differ: two measured settings."""

from typing import NamedTuple


class Difficulty(NamedTuple):
  """How strongly each nuisance acts; 1 is the usual strength.

  Attributes:
    yaw_degrees: standard deviation of the turn of the head to the sides.
    pitch_degrees: standard deviation of the nod of the head.
    expression: smiles, open mouths, blinks, raised brows, gaze.
    light: exposure, shading from the sides, blotches of light.
    white_balance: colour casts.
    hair: how much the hair differs from image to image.
    occlusion: sunglasses, masks, hats, objects before the face.
    blur: defocus and low resolution.
    noise: sensor noise.
    compression: how often the image has been a JPEG before.
    landmark_error: errors of the landmark detector that aligned the crop.
    identity_spread: how different people are from each other.
  """

  yaw_degrees: float = 17.0
  pitch_degrees: float = 8.0
  expression: float = 1.0
  light: float = 1.0
  white_balance: float = 1.0
  hair: float = 1.0
  occlusion: float = 1.0
  blur: float = 1.0
  noise: float = 1.0
  compression: float = 1.0
  landmark_error: float = 1.0
  identity_spread: float = 1.0


DIFFICULTIES = {
  'normal': Difficulty(),
  'hard': Difficulty(
    yaw_degrees=24.0,
    hair=1.6,
    identity_spread=0.75,
    white_balance=1.6,
    light=1.3,
  ),
}

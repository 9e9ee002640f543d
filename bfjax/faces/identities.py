"""Who a face is: shape, colours, marks and habits, from (seed, identity)."""

import collections
import types
from typing import NamedTuple

import numpy as np

from bfjax.faces import nuisances

# Mean and standard deviation over people of what makes the shape of a face.
# Lengths are in half head widths and heights are measured down from the
# middle between the eyes; depths grow towards the camera.
SHAPE = {
  # Head.
  'cheek_width': (1.0, 0.045),
  'temple_width': (0.93, 0.05),
  'lower_cheek_width': (0.94, 0.04),
  'jaw_width': (0.80, 0.07),
  'lower_jaw_width': (0.56, 0.07),
  'chin_width': (0.30, 0.06),
  'chin_height': (1.52, 0.08),
  'skull_height': (1.36, 0.07),
  'asymmetry': (0.0, 0.02),
  'ear_size': (0.26, 0.04),
  'ear_height': (0.12, 0.05),
  'ear_out': (0.05, 0.05),
  # Eyes.
  'eye_x': (0.425, 0.028),
  'eye_width': (0.185, 0.022),
  'eye_opening': (0.082, 0.017),
  'eye_tilt': (0.0, 0.028),
  'eye_unevenness': (0.0, 0.02),
  'iris_radius': (0.088, 0.009),
  'lid_crease': (0.45, 0.3),
  'eye_bags': (0.2, 0.2),
  # Brows.
  'brow_height': (-0.205, 0.035),
  'brow_length': (0.235, 0.03),
  'brow_thickness': (0.045, 0.016),
  'brow_arch': (0.045, 0.028),
  'brow_tilt': (0.0, 0.035),
  'brow_apart': (0.0, 0.028),
  # Nose.
  'nose_length': (0.50, 0.05),
  'nose_width': (0.165, 0.03),
  'nose_depth': (0.50, 0.07),
  'nose_bridge': (0.075, 0.02),
  'nostril': (0.038, 0.010),
  'nose_tip': (0.085, 0.02),
  # Mouth.
  'mouth_height': (0.93, 0.045),
  'mouth_width': (0.34, 0.04),
  'upper_lip': (0.062, 0.019),
  'lower_lip': (0.085, 0.022),
  'cupids_bow': (0.022, 0.014),
  'mouth_curve': (0.0, 0.022),
  'cheek_folds': (0.25, 0.3),
  # Hair.
  'hairline': (-0.80, 0.14),
  'hair_volume': (0.14, 0.08),
  'hair_side': (0.0, 0.16),
  'hair_parting': (0.0, 0.35),
  'fringe_1': (0.0, 0.10),
  'fringe_2': (0.0, 0.07),
  'fringe_3': (0.0, 0.06),
}

NUM_MARKS = 14

# Colours from one end to the other, in hexadecimal.
_SKIN = 'fadcc4 eec4a6 deac84 c48c64 966242 62402e'
_HAIR = '161212 34241c 5c3e28 7e4428 ccaa70 969492'
_IRIS = '281a14 543620 6e5a32 547050 567ca0 78828c'


# Standard normal traits of a person, as they are.
Traits = collections.namedtuple(
  'Traits',
  'skin_tone skin_redness hair_tone iris_tone lip_tone glasses hair_length '
  'beard moustache',
)


class Colours(NamedTuple):
  """RGB colours, float [3], 0 .. 255."""

  skin: np.ndarray
  hair: np.ndarray
  iris: np.ndarray
  lips: np.ndarray


class Marks(NamedTuple):
  """Blotches and moles of the skin: where, how large, how much lighter."""

  points: np.ndarray  # float [NUM_MARKS, 3]
  radius: np.ndarray  # float [NUM_MARKS]
  contrast: np.ndarray  # float [NUM_MARKS], -0.6 (dark mole) .. 0.2


class Identity(NamedTuple):
  """A person; `shape` has the names of SHAPE."""

  shape: types.SimpleNamespace
  trait: Traits
  colours: Colours
  marks: Marks

  @property
  def has_beard(self) -> bool:
    """Whether the person has one."""
    return self.trait.beard > 0.35


def make_identity(seed: int, identity: int, spread: float = 1.0) -> Identity:
  """Draws a person; `spread` is a factor on the deviations of the shape."""
  key = nuisances.IDENTITY_KEY
  generator = nuisances.make_generator(key, seed, identity)
  count = len(SHAPE) + len(Traits._fields)
  values = generator.standard_normal(count)
  # Nobody is a monster: the tails are drawn again, evenly.
  inside = generator.uniform(-2.2, 2.2, count)
  values = np.where(np.abs(values) > 2.2, inside, values).tolist()
  shape = {
    name: mean + deviation * spread * value
    for (name, (mean, deviation)), value in zip(
      SHAPE.items(), values[: len(SHAPE)], strict=True
    )
  }
  trait = Traits(*values[len(SHAPE) :])
  return Identity(
    shape=types.SimpleNamespace(**shape),
    trait=trait,
    colours=_make_colours(trait),
    marks=_make_marks(generator),
  )


def _make_colours(trait: Traits) -> Colours:
  darkness = _normal_cdf(trait.skin_tone)
  redness = 0.03 * trait.skin_redness
  skin = _along(_SKIN, darkness) * [1 + redness, 1, 1 - redness]
  if darkness < 0.75:
    # Fair hair goes with fair skin more often than with dark skin.
    hair_place = _normal_cdf(trait.hair_tone + 0.8 * (0.5 - darkness) - 0.5)
  else:
    hair_place = 0.25 * _normal_cdf(trait.hair_tone)
  return Colours(
    skin=skin,
    hair=_along(_HAIR, hair_place),
    iris=_along(_IRIS, _normal_cdf(trait.iris_tone) * (1.3 - darkness)),
    lips=skin * [0.86, 0.62, 0.60] * (1 + 0.1 * trait.lip_tone) + [14, 0, 4],
  )


def _make_marks(generator: np.random.Generator) -> Marks:
  x = generator.uniform(-1, 1, NUM_MARKS)
  y = generator.uniform(-0.6, 1.3, NUM_MARKS)
  # Inside the face, which narrows towards the chin, and on its bulge.
  x = x * np.interp(y, [-0.6, 0, 0.5, 0.9, 1.3], [0.75, 0.85, 0.8, 0.62, 0.3])
  z = 0.42 - 0.25 * x**2 - 0.05 * np.abs(y - 0.3)
  radius = 0.03 + 0.07 * np.abs(generator.standard_normal(NUM_MARKS))
  contrast = 0.055 * generator.standard_normal(NUM_MARKS)
  moles = int(generator.integers(0, 5))
  radius[:moles] = generator.uniform(0.014, 0.035, moles)
  contrast[:moles] = -generator.uniform(0.25, 0.6, moles)
  return Marks(np.stack([x, y, z], 1), radius, contrast)


def _normal_cdf(x: float) -> float:
  """The normal distribution function, to 0.01, by a logistic curve."""
  return float(1 / (1 + np.exp(-1.702 * x)))


def _along(palette: str, place: float) -> np.ndarray:
  """The colour at `place` (0 first .. 1 last) along a list of colours."""
  colours = np.array([list(bytes.fromhex(x)) for x in palette.split()], float)
  place = np.clip(place, 0, 1) * (len(colours) - 1)
  below = min(int(place), len(colours) - 2)
  part = place - below
  return colours[below] * (1 - part) + colours[below + 1] * part

"""Paints a face, from the background to what is worn over it."""

from typing import NamedTuple

import cv2
import numpy as np

from bfjax.faces import canvas as canvases
from bfjax.faces import identities, nuisances, points

_EYE_WHITE = (236, 232, 228)
_PUPIL = (12, 10, 10)
_GLINT = (245, 245, 245)
_MOUTH_INSIDE = (60, 22, 24)
_TEETH = (232, 226, 214)

# Below this opening, in half head widths, lips meet in a line.
_LIPS_PART = 0.012
# Below this share of its opening, an eye shows no iris.
_EYE_SHUT = 0.3
# Glints in the eyes are smaller than a pixel in images below this size.
_GLINT_SIZE = 80


class Scene(NamedTuple):
  """What is painted in one image."""

  identity: identities.Identity
  draws: nuisances.Draws  # of this image, from `nuisances.Draws.each`
  difficulty: nuisances.Difficulty
  mouth_open: float  # in half head widths
  eye_open: float  # as a share of the person's opening of the eyes


def paint(
  scene: Scene,
  pixels: np.ndarray,
  parts: dict[str, slice],
  pixels_per_unit: float,
  size: int,
) -> np.ndarray:
  """Returns the painting, uint8 [size, size, 3] RGB, in flat light.

  `pixels` [k, 2] are the points of the face in pixels, of which each part is a
  slice; `pixels_per_unit` is how many pixels half a head width has.
  """
  background = _background(scene.draws, size)
  canvas = canvases.Canvas(background, pixels, parts, pixels_per_unit)
  _paint_body(canvas, scene)
  _paint_skin(canvas, scene)
  _paint_beard(canvas, scene)
  _paint_nose(canvas, scene)
  for side, _ in points.SIDES:
    _paint_eye(canvas, scene, side)
  _paint_mouth(canvas, scene)
  if scene.identity.trait.hair_length > -1.5:  # else bald
    canvas.fill('hair', scene.identity.colours.hair)
  _paint_glasses(canvas, scene)
  _paint_occluder(canvas, scene)
  return canvas.image


def _background(draws: nuisances.Draws, size: int) -> np.ndarray:
  """A smooth mixture of nine colours."""
  colours = (
    60
    + 150 * draws.background_brightness
    + 70 * (np.array(draws.background_colour) - 0.5)
    + 28 * nuisances.noise_pattern(draws.background_pattern, (3, 3, 3))
  )
  colours = np.clip(colours, 0, 255).astype(np.uint8)
  return cv2.resize(colours, (size, size), interpolation=cv2.INTER_LINEAR)


def _paint_body(canvas: canvases.Canvas, scene: Scene) -> None:
  draws, identity, colours = scene.draws, scene.identity, scene.identity.colours
  if identity.trait.hair_length > -0.3 and not identity.has_beard:
    canvas.fill('hair_behind', colours.hair * 0.8)
  canvas.fill('neck', colours.skin * 0.78)
  clothes = 0.35 + 0.65 * np.array(draws.clothes_colour)
  canvas.fill('shoulders', 15 + 215 * draws.clothes_brightness * clothes)


def _paint_skin(canvas: canvases.Canvas, scene: Scene) -> None:
  skin, marks = scene.identity.colours.skin, scene.identity.marks
  for side, _ in points.SIDES:
    canvas.fill(f'ear_{side}', skin * 0.90)
  canvas.fill('head', skin)
  tones = np.minimum(skin * (1 + marks.contrast[:, None]), 255)
  for index, radius in enumerate(marks.radius):
    # None sticks out where the head is turned away.
    room = canvas.depth_inside('marks', index, 'head')
    if room > 0:
      canvas.disc('marks', index, tones[index], min(radius, room))


def _paint_beard(canvas: canvases.Canvas, scene: Scene) -> None:
  identity = scene.identity
  if not identity.has_beard:
    return
  beard, moustache = identity.trait.beard, identity.trait.moustache
  today = 0.14 * (scene.draws.stubble - 0.3) * scene.difficulty.hair
  opacity = {'beard': np.clip(0.24 * (beard + 0.3) + today, 0.08, 0.8)}
  if moustache > -0.6:
    opacity['moustache'] = min(0.85, 0.4 + 0.2 * moustache)
  colour = np.clip(identity.colours.hair * 1.05 + 4, 0, 255)
  canvas.blend(opacity, colour, 0.055)


def _paint_nose(canvas: canvases.Canvas, scene: Scene) -> None:
  skin, shape = scene.identity.colours.skin, scene.identity.shape
  # The side away from the light is the darker one.
  dark_side = 'left' if scene.draws.light_x > 0 else 'right'
  for side, _ in points.SIDES:
    shade = 0.80 if side == dark_side else 0.92
    canvas.line(f'nose_{side}', skin * shade, 0.05)
  canvas.fill('nose_tip', np.minimum(skin * 1.07, 255))
  canvas.line('nose_base', skin * 0.72, 0.035)
  for side, _ in points.SIDES:
    canvas.fill(f'nostril_{side}', skin * 0.38)
    if shape.cheek_folds > 0.15:
      shade = 1 - 0.28 * min(shape.cheek_folds, 1)
      canvas.line(f'cheek_fold_{side}', skin * shade, 0.03)


def _paint_eye(canvas: canvases.Canvas, scene: Scene, side: str) -> None:
  colours, shape = scene.identity.colours, scene.identity.shape
  skin, hair = colours.skin, colours.hair
  if shape.eye_bags > 0.25:
    canvas.line(f'eye_bag_{side}', skin * 0.86, 0.03)
  canvas.fill(f'eye_{side}', _EYE_WHITE)
  if scene.eye_open > _EYE_SHUT:
    opening = 1.05 * shape.eye_opening * scene.eye_open
    radius = min(shape.iris_radius, opening)
    iris = f'iris_{side}'
    canvas.disc(iris, 0, colours.iris, radius)
    canvas.disc(iris, 0, _PUPIL, 0.45 * radius)
    if canvas.size >= _GLINT_SIZE:
      offset = (0.35 * radius, -0.35 * radius)
      canvas.disc(iris, 0, _GLINT, 0.22 * radius, offset)
  canvas.line(f'upper_lid_{side}', hair * 0.35 + 10, 0.04)
  canvas.line(f'lower_lid_{side}', skin * 0.66, 0.02)
  if shape.lid_crease > 0.2:
    canvas.line(f'lid_crease_{side}', skin * 0.74, 0.02)
  canvas.fill(f'brow_{side}', hair * 0.8 + skin * 0.12)


def _paint_mouth(canvas: canvases.Canvas, scene: Scene) -> None:
  lips = scene.identity.colours.lips
  lips_part = scene.mouth_open > _LIPS_PART
  if lips_part:
    canvas.fill('mouth', _MOUTH_INSIDE)
    canvas.fill('teeth', _TEETH)
  canvas.fill('upper_lip', lips * 0.90)
  canvas.fill('lower_lip', lips)
  if not lips_part:
    canvas.line('lip_line', lips * 0.5, 0.025)


def _paint_glasses(canvas: canvases.Canvas, scene: Scene) -> None:
  draws = scene.draws
  often = scene.identity.trait.glasses > 0.75
  if draws.glasses >= (0.85 if often else 0.06):
    return
  colour = 90 * np.array(draws.glasses_colour)
  width = 0.035 + 0.03 * draws.glasses_thickness
  for side, _ in points.SIDES:
    if draws.sunglasses < 0.10:
      canvas.fill(f'rim_{side}', colour * 0.5)
    canvas.line(f'rim_{side}', colour, width, closed=True)
    canvas.line(f'temple_{side}', colour, width)
  canvas.line('bridge', colour, width)


def _paint_occluder(canvas: canvases.Canvas, scene: Scene) -> None:
  """Now and then a mask, a hat, or an object before the face."""
  draws = scene.draws
  colour = np.array(draws.occluder_colour)
  brightness = 60 * draws.occluder_brightness
  chance = draws.occluder / 0.02  # in units of the share with a mask
  if chance < 1:
    canvas.fill('mask', 165 + brightness + 30 * colour)
  elif chance < 2.5:
    canvas.fill('hat', 25 + brightness + 120 * colour)
  elif chance < 4:
    canvas.bar(
      draws.bar_centre,
      np.pi * draws.bar_angle,
      0.08 + 0.14 * draws.bar_width,
      40 + 150 * colour,
    )

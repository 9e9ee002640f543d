"""The training that is measured, as this project has it."""

import math

import jax
import numpy as np

from benchmarks.accelerator import sizes
from bfjax import backbones, optim, sharding, step
from bfjax.heads import margins, penalties, rules, softmax

SCALE, MARGIN, WEIGHT = 32.0, 0.5, math.pi
RATE = 1e-4  # hundreds of steps on one batch must not run away
ROWS_A_CLASS = 20


def head(mesh, classes: int) -> softmax.Head:
  """BoundaryFace's."""
  return softmax.Head(
    mesh,
    margin=margins.build('arcface', m=MARGIN),
    rule=rules.build('boundary'),
    penalty=penalties.PENALTIES['boundary'],
    num_classes=classes,
    scale=SCALE,
  )


def recipe(found: sizes.Sizes, case: sizes.Case, mesh) -> step.Recipe:
  """Of a training step on a mesh; labels are corrected from the start."""
  options, _ = found.nets[case.net]
  return step.Recipe(
    backbone=backbones.build(
      'iresnet', dtype='bfloat16', image_size=found.image_size, **options
    ),
    head=head(mesh, case.classes),
    optimizer=optim.sgd(lambda _: RATE),
    mesh=mesh,
    steps_per_epoch=1000,
    carry='visit',
    epoch_start=0,
    penalty_start=0,
    penalty_weight=lambda _: WEIGHT,
    rule_margin=lambda _: None,
    drop_start=math.inf,
    accumulate=1,
    dropout_seed=0,
  )


def batch(found: sizes.Sizes, case: sizes.Case, mesh) -> dict[str, jax.Array]:
  """Images of noise and labels at random, on the devices."""
  rng = np.random.default_rng(0)
  rows, size = case.batch, found.image_size
  return jax.device_put(
    {
      'image': rng.integers(0, 256, (rows, size, size, 3), np.uint8),
      'label': rng.integers(0, case.classes, rows, np.int32),
      'row': np.arange(rows, dtype=np.int32),
      'mask': np.ones(rows, bool),
      'skipped': np.zeros(rows, np.float32),
    },
    sharding.rows(mesh),
  )


def embeddings(rows: int, classes: int, dim: int):
  """(embeddings near their centres, centres, labels, a fifth of them wrong)."""
  rng = np.random.default_rng(0)
  centres = rng.standard_normal((classes, dim), dtype='f4')
  label = rng.integers(0, classes, rows)
  noise = rng.standard_normal((rows, dim), dtype='f4')
  wrong = rng.integers(0, classes, rows)
  given = np.where(rng.random(rows) < 0.2, wrong, label).astype('i4')
  return centres[label] + noise, centres, given

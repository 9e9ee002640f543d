"""The one mesh axis, and what lies how along it."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = 'data'  # rows of a batch, classes and the label table lie along it


def make_mesh(devices=None) -> Mesh:
  """All `devices` (default: every one there is) along the axis 'data'."""
  devices = jax.devices() if devices is None else devices
  # The default, AxisType.Explicit, raises in the gradient of some indexing.
  return jax.make_mesh(
    (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
  )


def pad_to(n: int, mesh: Mesh) -> int:
  """The least multiple of the number of devices that is at least `n`."""
  return -(-n // mesh.size) * mesh.size


def rows(mesh: Mesh) -> NamedSharding:
  """The leading dimension (rows, classes) is split over the devices."""
  return NamedSharding(mesh, PartitionSpec(AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
  """Every device holds the whole."""
  return NamedSharding(mesh, PartitionSpec())

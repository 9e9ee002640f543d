"""Compiles a head for H100s, on a machine without any, and says what came out.

    JAX_PLATFORMS=cpu python compiled_for_card.py HOSTS CLASSES ROWS CHUNK

Prints JSON: 'loops', the `while` of the program; 'passes', the kernels besides
matrix products that read or write arrays as large as all of a card's logits,
and 'bytes', what a card holds besides parameters and gradients.
"""

import json
import math
import re
import sys

import jax
from jax.experimental import topologies

from bfjax import sharding
from bfjax.heads import margins, penalties, rules, softmax

DIM, CARDS_OF_A_HOST = 512, 8
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84978434048
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 2 }
"""


def compile_head(hosts, num_classes, rows, chunk):
  """BoundaryFace, forward and backward, for all cards of so many hosts."""
  topology = topologies.get_topology_desc(
    'h100', 'cuda', target_config=H100, topology=f'1x{hosts}x{CARDS_OF_A_HOST}'
  )
  mesh = sharding.make_mesh(list(topology.devices))
  head = softmax.Head(
    mesh,
    margin=margins.build('arcface'),
    rule=rules.build('boundary'),
    penalty=penalties.boundary,
    num_classes=num_classes,
    scale=32.0,
    chunk_classes=chunk,
  )

  def objective(embedding, centres, label, mask):
    state = head.init_state()
    out = head(embedding, centres, label, mask, state, softmax.Now(True))
    return (out.loss + out.penalty).mean(), out.label

  def of(kind, *shape):
    return jax.ShapeDtypeStruct(shape, kind, sharding=sharding.rows(mesh))

  padded = sharding.pad_to(num_classes, mesh)
  arrays = of('f4', rows, DIM), of('f4', padded, DIM)
  gradient = jax.jit(jax.grad(objective, (0, 1), has_aux=True))
  return gradient.lower(*arrays, of('i4', rows), of('?', rows)).compile()


def passes(text, size):
  """The kernels of the program that are passes over so many numbers."""
  line = re.compile(r'\s*(?:ROOT )?(%[\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)')
  made = [m.groups() for m in map(line.match, text.splitlines()) if m]
  of_name = {name: shapes for name, shapes, *_ in made}

  def is_large(shapes):
    dims = re.findall(r'\w+\[([\d,]+)\]', shapes)
    return any(math.prod(map(int, x.split(','))) >= size for x in dims)

  entry = text[text.index('\nENTRY') :]
  free = 'bitcast', 'get-tuple-element', 'parameter', 'tuple'
  found = []
  for name, shapes, kind, rest in (
    m.groups() for m in map(line.match, entry.splitlines()) if m
  ):
    read = re.findall(r'%[\w.-]+', rest.split('), ')[0])
    touched = [shapes, *(of_name.get(x, '') for x in read)]
    is_product = 'gemm' in name or 'gemm' in rest
    if kind not in free and not is_product and any(map(is_large, touched)):
      found.append(name)
  return found


if __name__ == '__main__':
  hosts, num_classes, rows, chunk = map(int, sys.argv[1:])
  compiled = compile_head(hosts, num_classes, rows, chunk)
  text = compiled.as_text()
  own = num_classes // (hosts * CARDS_OF_A_HOST)
  result = {
    'loops': len(re.findall(r' while\(', text)),
    'passes': passes(text, own * rows),
    'bytes': compiled.memory_analysis().temp_size_in_bytes,
  }
  print(json.dumps(result))

"""Compiles a head for H100s, on a machine without any, and says what came out.

    JAX_PLATFORMS=cpu python compiled_for_card.py HOSTS CLASSES ROWS CHUNK

Prints JSON: 'loops', the `while` of the program; 'passes', the kernels besides
matrix products that read or write arrays as large as all of a card's logits,
and 'bytes', what a card holds besides parameters and gradients.
"""

import json
import sys

import jax

from bfjax import sharding
from bfjax.heads import margins, penalties, rules, softmax
from bfjax.planning import cards, compiling, costs, hlo

DIM, CARDS_OF_A_HOST = 512, 8


def compile_head(hosts, num_classes, rows, chunk):
  """BoundaryFace, forward and backward, for all cards of so many hosts."""
  count = hosts * CARDS_OF_A_HOST
  mesh = sharding.make_mesh(compiling.devices(cards.read('h100'), count))
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


if __name__ == '__main__':
  hosts, num_classes, rows, chunk = map(int, sys.argv[1:])
  compiled = compile_head(hosts, num_classes, rows, chunk)
  program = hlo.parse(compiled.as_text())
  own = num_classes // (hosts * CARDS_OF_A_HOST)
  opcodes = [x.opcode for part in program.computations.values() for x in part]
  passes = costs.passes(program, rows, own)
  result = {
    'loops': opcodes.count('while'),
    'passes': [name for name in passes if 'gemm' not in name],
    'bytes': compiled.memory_analysis().temp_size_in_bytes,
  }
  print(json.dumps(result))

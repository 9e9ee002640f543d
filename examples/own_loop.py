"""BoundaryFace in a loop of one's own: only its head and its label table.

64 people are directions, images noisy ones, a fifth of the labels is wrong. Net
and loop are plain JAX with optax: python examples/own_loop.py
"""

import jax
import numpy as np
import optax

import bfjax

PEOPLE, IMAGES, SIZE, BATCH, EPOCHS = 64, 32, 64, 256, 16


def make_data():
  """Images f32 [rows, SIZE]; true and given labels, int32 [rows]."""
  rng = np.random.default_rng(0)
  true = np.repeat(np.arange(PEOPLE, dtype=np.int32), IMAGES)
  noise = rng.normal(size=(len(true), SIZE)).astype(np.float32)
  images = rng.normal(size=(PEOPLE, SIZE)).astype(np.float32)[true] + noise
  moved = rng.integers(1, PEOPLE, len(true)) * (rng.random(len(true)) < 0.2)
  return images, true, (true + moved).astype(np.int32) % PEOPLE


def main():
  """Trains, and tells after every epoch how many labels are wrong."""
  images, true, given = make_data()
  head = bfjax.heads.make('arcface', num_classes=PEOPLE, rule='boundary', s=16)
  centres, state = head.init(jax.random.key(0), embedding_dim=32)
  table = bfjax.labels.make(given, head.mesh)
  params = {'net': jax.numpy.eye(SIZE, 32), 'centres': centres}
  optimizer = optax.sgd(1.0, momentum=0.9)
  opt_state = optimizer.init(params)

  @jax.jit
  def step(params, opt_state, state, table, rows, images, given, correcting):
    def objective(params):
      embedding, centres = images @ params['net'], params['centres']
      out = head.apply(centres, state, embedding, given, correcting=correcting)
      return out.loss.mean(), out

    (loss, out), grads = jax.value_and_grad(objective, has_aux=True)(params)
    updates, opt_state = optimizer.update(grads, opt_state)
    params = optax.apply_updates(params, updates)
    table = bfjax.labels.update(table, rows, out.label, rows >= 0, head.mesh)
    return loss, (params, opt_state, out.state, table)

  carried = params, opt_state, state, table
  for epoch in range(EPOCHS):
    order = np.random.default_rng(epoch).permutation(len(true))
    for rows in order.reshape(-1, BATCH):
      batch = rows, images[rows], given[rows], epoch >= EPOCHS // 2
      loss, carried = step(*carried, *batch)
    wrong = np.mean(np.asarray(carried[-1])[: len(true)] != true)
    print(f'Epoch {epoch + 1}: loss {loss:.2f}, wrong labels {wrong:.1%}')


if __name__ == '__main__':
  main()

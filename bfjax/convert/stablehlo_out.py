"""A model of ours as serialised StableHLO, by jax.export.

Whoever has JAX can run it, with nothing of ours:

    from jax import export
    embed = export.deserialize(open('net.stablehlo', 'rb').read()).call
    embeddings = embed(images)
"""

import pathlib

import jax
from jax import export

from bfjax import atomic, model
from bfjax.convert import embedding, torch_out

PLATFORMS = ('cpu', 'cuda')


def write(
  given: model.Model, path: pathlib.Path, signature: embedding.Signature
) -> torch_out.Written:
  """Writes the function, weights in it, for a batch of any size; runs it.

  Args:
    given: from `model.load_model`.
    path: of the new file.
    signature: what goes in and comes out.

  Raises:
    UserError: if the signature cannot be, the file is there already, or what
      is read again is not the model's function; then nothing is left.
  """
  signature.check()
  torch_out.check_free(path)
  [batch] = export.symbolic_shape('batch')
  shape = signature.shape(batch, given.image_size)
  dtype = embedding.INPUTS[signature.pixels]
  exported = export.export(
    jax.jit(embedding.make(given, signature)), platforms=PLATFORMS
  )(jax.ShapeDtypeStruct(shape, dtype))
  with atomic.writing(path) as draft:
    draft.write_bytes(exported.serialize())
    embed = export.deserialize(draft.read_bytes()).call
    shown = embedding.prove(given, signature, embed, 'The model and StableHLO')
  notes = [
    f'for {" and ".join(PLATFORMS)}; images: {signature.pixels}'
    f' {list(map(str, shape))}, RGB; embeddings: float32 [batch,'
    f' {given.description["embedding_dim"]}], {signature.output}'
  ]
  return torch_out.Written([path], shown, notes)

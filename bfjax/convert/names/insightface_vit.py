"""VisionTransformer of deepinsight/insightface, arcface_torch: vit_t to vit_l.

How many heads attention has, no shape tells: it is 8 in all of them.
"""

from bfjax import scalings
from bfjax.backbones import vit
from bfjax.convert import names as lib
from bfjax.convert import shapes as shapes_lib

CODE_BASE = 'insightface'
COLOUR_ORDER = 'RGB'
SCALING = scalings.STANDARD
CENTRES = ('weight', False)

_HEADS = 8
_USUAL_SIZE = 112
_ENDS = {
  'patch_conv': 'patch_embed.proj',
  'final_norm': 'norm',
  'head_linear': 'feature.0',
  'head_norm': 'feature.1',
  'out_linear': 'feature.2',
  'embedding_norm': 'feature.3',
}
_BLOCK = {
  'norm1': 'norm1',
  'attention/qkv': 'attn.qkv',
  'attention/out': 'attn.proj',
  'norm2': 'norm2',
  'mlp/expand': 'mlp.fc1',
  'mlp/project': 'mlp.fc2',
}


def has(backbone) -> bool:
  """Whether a backbone of ours, its name and options, is one of these."""
  return backbone['name'] == 'vit' and backbone.get('heads', _HEADS) == _HEADS


def recognise(shapes: shapes_lib.Shapes):
  """Options of our backbone for a state dict, image size too, or None."""
  if not shapes_lib.starts(shapes, 'patch_embed.proj.'):
    return None
  dim = shapes_lib.length(shapes, 'norm.weight', 'norm.bias', default=256)
  depth = shapes_lib.count(shapes, 'blocks.')
  known = {
    (variant[0], variant[1]): name
    for name, variant in reversed(vit.VARIANTS.items())
  }
  options = {'name': 'vit'}
  if (dim, depth) in known:
    options['variant'] = known[dim, depth]
  else:
    options |= {'dim': dim, 'depth': depth}
  patch = shapes_lib.side(
    shapes.get('patch_embed.proj.weight'), 3 * dim, default=9
  )
  if patch != 9:
    options['patch_size'] = patch
  options['embedding_dim'] = shapes_lib.length(
    shapes, 'feature.3.weight', 'feature.3.bias', default=512
  )
  side = shapes_lib.side(shapes.get('pos_embed'), dim, default=12)
  # What is beyond the last whole patch leaves no trace.
  usual = _USUAL_SIZE // patch == side
  options['image_size'] = _USUAL_SIZE if usual else side * patch
  return options


def names(leaves: shapes_lib.Shapes, backbone) -> lib.Names:
  """What the modules of a backbone of ours, with these leaves, are there."""
  modules = dict(_ENDS)
  for top in {x.split('/')[1] for x in leaves}:
    if top.startswith('block'):
      number = int(top.removeprefix('block')) - 1
      for ours, theirs in _BLOCK.items():
        modules[f'{top}/{ours}'] = f'blocks.{number}.{theirs}'
  return lib.Names(
    stem='patch_embed.proj',
    modules=modules,
    arrays={
      'params/pos_embed': ('pos_embed', 3),
      'params/mask_token': ('mask_token', 3),
    },
  )

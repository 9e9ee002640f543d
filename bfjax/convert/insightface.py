"""MobileFaceNet and VisionTransformer of deepinsight/insightface.

Both of arcface_torch: mbf and mbf_large; vit_t to vit_l. How many heads
attention has, no shape tells: it is 8 in all of them.
"""

from collections.abc import Mapping
from typing import Any

from bfjax.backbones import mobilefacenet, vit
from bfjax.convert import naming

_CONV = {'conv': 'layers.0', 'norm': 'layers.1', 'prelu': 'layers.2'}
_UNIT = {
  **naming.inside('layers.0', _CONV, 'expand'),
  **naming.inside('layers.1', _CONV, 'depthwise'),
  **naming.inside('layers.2', _CONV, 'project'),
}
_MBF_ENDS = {
  **naming.inside('layers.0', _CONV, 'stem'),
  **naming.inside('layers.1', _CONV, 'stage1'),
  **naming.inside('conv_sep', _CONV, 'last'),
  'head_conv': 'features.layers.0.layers.0',
  'head_norm': 'features.layers.0.layers.1',
  'head_linear': 'features.layers.2',
  'embedding_norm': 'features.layers.3',
}
# Where the first unit of stages 2, 3 and 4 is in the net's list.
_DOWN = {2: 2, 3: 4, 4: 6}

_HEADS = 8
_USUAL_SIZE = 112
_VIT_ENDS = {
  'patch_conv': 'patch_embed.proj',
  'final_norm': 'norm',
  'head_linear': 'feature.0',
  'head_norm': 'feature.1',
  'out_linear': 'feature.2',
  'embedding_norm': 'feature.3',
}
_VIT_BLOCK = {
  'norm1': 'norm1',
  'attention/qkv': 'attn.qkv',
  'attention/out': 'attn.proj',
  'norm2': 'norm2',
  'mlp/expand': 'mlp.fc1',
  'mlp/project': 'mlp.fc2',
}


def _recognise_mbf(shapes: naming.Shapes) -> naming.Options | None:
  if not naming.starts(shapes, 'conv_sep.layers.'):
    return None
  width = naming.width(shapes, 'layers.2.layers.0.layers.1', default=128) // 2
  stem = naming.width(shapes, 'layers.0.layers.1', default=128)
  scales = {scale: x for x, (scale, _) in mobilefacenet.VARIANTS.items()}
  variant = scales.get(stem // width, 'mbf')
  units = naming.starts(shapes, 'layers.1.layers.0.layers.')
  blocks = (
    naming.count(shapes, 'layers.1.layers.') if units else 1,
    *(naming.count(shapes, f'layers.{i + 1}.layers.') for i in _DOWN.values()),
  )
  options: dict[str, Any] = {'name': 'mobilefacenet', 'variant': variant}
  if blocks != mobilefacenet.VARIANTS[variant][1]:
    options['blocks'] = blocks
  if width != 64:
    options['width'] = width
  dim = naming.width(shapes, 'features.layers.3', default=512)
  whole_map = shapes.get('features.layers.0.layers.0.weight')
  side = naming.side(whole_map, 8 * width, default=7)
  return options | {'embedding_dim': dim, 'image_size': 16 * side}


def _names_mbf(
  leaves: naming.Shapes, backbone: Mapping[str, Any]
) -> naming.Names:
  modules = dict(_MBF_ENDS)
  for top in {x.split('/')[1] for x in leaves}:
    stage, _, unit = top.partition('_')
    if not stage.startswith('stage') or not unit:
      continue
    first = _DOWN.get(int(stage.removeprefix('stage')), 0)
    place = f'layers.{first}'
    if unit != 'down':
      number = int(unit.removeprefix('unit')) - 1
      place = f'layers.{first + 1}.layers.{number}'
    modules |= naming.inside(place, _UNIT, top)
  return naming.Names(stem='layers.0.layers.0', modules=modules)


def _recognise_vit(shapes: naming.Shapes) -> naming.Options | None:
  if not naming.starts(shapes, 'patch_embed.proj.'):
    return None
  dim = naming.width(shapes, 'norm', default=256)
  depth = naming.count(shapes, 'blocks.')
  known = {x[:2]: name for name, x in reversed(vit.VARIANTS.items())}
  options: dict[str, Any] = {'name': 'vit'}
  if (dim, depth) in known:
    options['variant'] = known[dim, depth]
  else:
    options |= {'dim': dim, 'depth': depth}
  kernel = shapes.get('patch_embed.proj.weight')
  patch = naming.side(kernel, 3 * dim, default=9)
  if patch != 9:
    options['patch_size'] = patch
  options['embedding_dim'] = naming.width(shapes, 'feature.3', default=512)
  side = naming.side(shapes.get('pos_embed'), dim, default=12)
  # What is beyond the last whole patch leaves no trace.
  usual = _USUAL_SIZE // patch == side
  options['image_size'] = _USUAL_SIZE if usual else side * patch
  return options


def _names_vit(
  leaves: naming.Shapes, backbone: Mapping[str, Any]
) -> naming.Names:
  modules = dict(_VIT_ENDS)
  for top in {x.split('/')[1] for x in leaves}:
    if top.startswith('block'):
      number = int(top.removeprefix('block')) - 1
      modules |= naming.inside(f'blocks.{number}', _VIT_BLOCK, top)
  arrays = {f'params/{x}': (x, 3) for x in ('pos_embed', 'mask_token')}
  return naming.Names(stem='patch_embed.proj', modules=modules, arrays=arrays)


ARCHITECTURES = {
  'insightface_mbf': naming.Architecture(
    code_base='insightface',
    has=lambda backbone: backbone['name'] == 'mobilefacenet',
    recognise=_recognise_mbf,
    names=_names_mbf,
  ),
  'insightface_vit': naming.Architecture(
    code_base='insightface',
    has=lambda backbone: (
      backbone['name'] == 'vit' and backbone.get('heads', _HEADS) == _HEADS
    ),
    recognise=_recognise_vit,
    names=_names_vit,
  ),
}

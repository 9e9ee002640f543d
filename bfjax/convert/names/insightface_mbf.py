"""MobileFaceNet of deepinsight/insightface, arcface_torch: mbf, mbf_large."""

from bfjax import scalings
from bfjax.backbones import mobilefacenet
from bfjax.convert import names as lib
from bfjax.convert import shapes as shapes_lib

CODE_BASE = 'insightface'
COLOUR_ORDER = 'RGB'
SCALING = scalings.STANDARD
CENTRES = ('weight', False)

_CONV = {'conv': 'layers.0', 'norm': 'layers.1', 'prelu': 'layers.2'}
_UNIT = {
  f'{ours}/{inner}': f'layers.{i}.{there}'
  for i, ours in enumerate(('expand', 'depthwise', 'project'))
  for inner, there in _CONV.items()
}
_HEAD = {
  'head_conv': 'features.layers.0.layers.0',
  'head_norm': 'features.layers.0.layers.1',
  'head_linear': 'features.layers.2',
  'embedding_norm': 'features.layers.3',
}
# Where the first unit of stages 2, 3 and 4 is in the net's list.
_DOWN = {2: 2, 3: 4, 4: 6}


def has(backbone) -> bool:
  """Whether a backbone of ours, its name and options, is one of these."""
  return backbone['name'] == 'mobilefacenet'


def recognise(shapes: shapes_lib.Shapes):
  """Options of our backbone for a state dict, image size too, or None."""
  if not shapes_lib.starts(shapes, 'conv_sep.layers.'):
    return None
  hidden = shapes_lib.length(
    shapes,
    'layers.2.layers.0.layers.1.weight',
    'layers.2.layers.0.layers.1.bias',
    default=128,
  )
  width = hidden // 2
  stem = shapes_lib.length(
    shapes, 'layers.0.layers.1.weight', 'layers.0.layers.1.bias', default=128
  )
  scales = {scale: x for x, (scale, _) in mobilefacenet.VARIANTS.items()}
  variant = scales.get(stem // width, 'mbf')
  units = shapes_lib.starts(shapes, 'layers.1.layers.0.layers.')
  blocks = [shapes_lib.count(shapes, 'layers.1.layers.') if units else 1]
  blocks += [
    shapes_lib.count(shapes, f'layers.{i + 1}.layers.') for i in _DOWN.values()
  ]
  options = {'name': 'mobilefacenet', 'variant': variant}
  if tuple(blocks) != mobilefacenet.VARIANTS[variant][1]:
    options['blocks'] = tuple(blocks)
  if width != 64:
    options['width'] = width
  options['embedding_dim'] = shapes_lib.length(
    shapes, 'features.layers.3.weight', 'features.layers.3.bias', default=512
  )
  whole_map = shapes.get('features.layers.0.layers.0.weight')
  options['image_size'] = 16 * shapes_lib.side(whole_map, 8 * width, default=7)
  return options


def names(leaves: shapes_lib.Shapes, backbone) -> lib.Names:
  """What the modules of a backbone of ours, with these leaves, are there."""
  modules = dict(_HEAD)
  tops = {x.split('/')[1] for x in leaves}
  places = {'stem': 'layers.0', 'stage1': 'layers.1', 'last': 'conv_sep'}
  for top in tops & places.keys():
    for ours, theirs in _CONV.items():
      modules[f'{top}/{ours}'] = f'{places[top]}.{theirs}'
  for top in tops:
    stage, _, unit = top.partition('_')
    if not stage.startswith('stage') or not unit:
      continue
    first = _DOWN.get(int(stage.removeprefix('stage')), 0)
    place = f'layers.{first}'
    if unit != 'down':
      number = int(unit.removeprefix('unit')) - 1
      place = f'layers.{first + 1}.layers.{number}'
    for ours, theirs in _UNIT.items():
      modules[f'{top}/{ours}'] = f'{place}.{theirs}'
  return lib.Names(stem='layers.0.layers.0', modules=modules)

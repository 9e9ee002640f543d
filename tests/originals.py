"""The originals' weights in our trees, by name.

A table gives for one code base what its modules are called here, {name there:
path here}. Written apart from the converter: the tests' own account of it.
"""

import numpy as np


def _numbered(place, names):
  """('a', 'x - y') -> {'a.0': 'x', 'a.2': 'y'}."""
  pairs = enumerate(names.split())
  return {f'{place}.{i}': name for i, name in pairs if name != '-'}


def _inside(there, here, names):
  return {f'{there}.{a}': f'{here}/{b}' for a, b in names.items()}


_SHORTCUT = _numbered('shortcut_layer', 'shortcut_conv shortcut_norm')
_ENDS = {
  **_numbered('input_layer', 'stem_conv stem_norm stem_prelu'),
  **_numbered('output_layer', 'head_norm - - head_linear embedding_norm'),
}
_BLOCK = _numbered('res_layer', 'norm1 conv1 norm2 prelu conv2 norm3')
_BARE_BLOCK = _numbered('res_layer', 'norm1 conv1 prelu conv2 norm3')
_BOTTLENECK = _numbered(
  'res_layer', 'norm1 conv1 norm2 prelu1 conv2 norm3 prelu2 conv3 norm4'
)
_SQUEEZE_EXCITE = {
  'fc1': 'attention/mlp/squeeze',
  'fc2': 'attention/mlp/expand',
}


def boundaryface(blocks, mode='ir'):
  """CBAMResNet."""
  mlp = 'channel/mlp' if mode == 'ir_cbam' else 'mlp'
  block = {
    **_BLOCK,
    **_SHORTCUT,
    **{f'res_layer.6.{a}': b for a, b in _SQUEEZE_EXCITE.items()},
    'res_layer.6.shared_mlp.0': f'attention/{mlp}/squeeze',
    'res_layer.6.shared_mlp.2': f'attention/{mlp}/expand',
    'res_layer.6.conv': 'attention/conv',
    'res_layer.7.conv': 'attention/spatial/conv',
  }
  names = dict(_ENDS)
  for i, count in enumerate(blocks, start=1):
    for j in range(count):
      names |= _inside(f'layer{i}.{j}', f'stage{i}_block{j + 1}', block)
  return names


def insightface(blocks):
  """IResNet of arcface_torch."""
  block = {
    'bn1': 'norm1',
    'conv1': 'conv1',
    'bn2': 'norm2',
    'prelu': 'prelu',
    'conv2': 'conv2',
    'bn3': 'norm3',
    **_numbered('downsample', 'shortcut_conv shortcut_norm'),
  }
  names = {
    'conv1': 'stem_conv',
    'bn1': 'stem_norm',
    'prelu': 'stem_prelu',
    'bn2': 'head_norm',
    'fc': 'head_linear',
    'features': 'embedding_norm',
  }
  for i, count in enumerate(blocks, start=1):
    for j in range(count):
      names |= _inside(f'layer{i}.{j}', f'stage{i}_block{j + 1}', block)
  return names


def _body(blocks, block):
  """Units that are counted through all stages."""
  names, unit = dict(_ENDS), 0
  for i, count in enumerate(blocks, start=1):
    for j in range(1, count + 1):
      names |= _inside(f'body.{unit}', f'stage{i}_block{j}', block)
      unit += 1
  return names


def adaface(blocks, bottleneck=False):
  """Backbone of AdaFace's net.py."""
  squeeze_excite = _SQUEEZE_EXCITE.items()
  block = {
    **(_BOTTLENECK if bottleneck else _BLOCK),
    **_SHORTCUT,
    **{f'res_layer.se_block.{a}': b for a, b in squeeze_excite},
  }
  return _body(blocks, block)


def facexzoo(blocks):
  """Resnet of FaceX-Zoo's ResNets.py."""
  squeeze_excite = _SQUEEZE_EXCITE.items()
  block = {
    **_BARE_BLOCK,
    **_SHORTCUT,
    **{f'res_layer.5.{a}': b for a, b in squeeze_excite},
  }
  return _body(blocks, block)


def mobilefacenet(blocks):
  """MobileFaceNet of arcface_torch."""
  layer = _numbered('layers', 'conv norm prelu')
  unit = {}
  for i, part in enumerate(('expand', 'depthwise', 'project')):
    unit |= _inside(f'layers.{i}', part, layer)
  names = {
    **_inside('layers.0', 'stem', layer),
    **_inside('layers.1', 'stage1', layer),
    **_inside('conv_sep', 'last', layer),
    **_numbered('features.layers.0.layers', 'head_conv head_norm'),
    'features.layers.2': 'head_linear',
    'features.layers.3': 'embedding_norm',
  }
  for i, count in enumerate(blocks, start=1):
    if i > 1:
      names |= _inside(f'layers.{2 * i - 2}', f'stage{i}_down', unit)
    for j in range(count):
      place = f'layers.{2 * i - 1}.layers.{j}'
      names |= _inside(place, f'stage{i}_unit{j + 1}', unit)
  return names


def vit(depth):
  """VisionTransformer of arcface_torch."""
  names = {
    'patch_embed.proj': 'patch_conv',
    'norm': 'final_norm',
    **_numbered('feature', 'head_linear head_norm out_linear embedding_norm'),
  }
  block = {
    'norm1': 'norm1',
    'attn.qkv': 'attention/qkv',
    'attn.proj': 'attention/out',
    'norm2': 'norm2',
    'mlp.fc1': 'mlp/expand',
    'mlp.fc2': 'mlp/project',
  }
  for i in range(depth):
    names |= _inside(f'blocks.{i}', f'block{i + 1}', block)
  return names


_LEAVES = {'running_mean': 'mean', 'running_var': 'variance', 'bias': 'bias'}


def _leaf(module, name, value):
  if name != 'weight':
    return _LEAVES[name]
  if value.ndim > 1:
    return 'kernel'
  return 'slope' if 'prelu' in module else 'scale'


def place(state, names, like, *, channels=0):
  """Values of a state dict (tensors or None) in a tree such as ours.

  Args:
    state: name there -> tensor; those with no place in the tree are dropped.
    names: one of the tables above.
    like: our tree, whose shapes the values have to have; all of its leaves
      have to be found.
    channels: of the map that is flattened before `head_linear`, which torch
      does channels first; 0 if it has no positions.
  """
  found = {}
  for key, value in state.items():
    module, _, name = key.rpartition('.')
    if name == 'num_batches_tracked' or value is None:
      continue
    if not module:  # ViT's own parameters
      found[key] = value.numpy()
      continue
    path = f'{names[module]}/{_leaf(names[module], name, value)}'
    value = value.numpy()
    if names[module] == 'head_linear' and value.ndim == 2 and channels:
      side = round((value.shape[1] / channels) ** 0.5)
      value = value.reshape(-1, channels, side, side)
    if value.ndim == 4:
      value = value.transpose(2, 3, 1, 0)
    elif value.ndim == 2:
      value = value.T
    found[path] = value
  return _fill(like, found, '')


def _fill(like, found, path):
  if isinstance(like, dict):
    inside = f'{path}/' if path else ''
    return {k: _fill(v, found, f'{inside}{k}') for k, v in like.items()}
  return np.array(found[path].reshape(like.shape))

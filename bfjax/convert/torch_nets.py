"""The `architectures` as functions of a state dict, in PyTorch.

What a net does is read off the names and shapes in the file, with nothing of
`mapping` or of our backbones: this is the other side of the proof. Inference
alone; maps are [rows, channels, height, width].
"""

from collections.abc import Callable, Mapping

import numpy as np
from flax import traverse_util

from bfjax import convert, errors, scalings

_HEADS = 8  # of attention, in every vision transformer of arcface_torch
_BATCH = 8


def embed(
  architecture: str,
  state: Mapping[str, np.ndarray],
  pixels: np.ndarray,
  scaling: scalings.Scaling,
  colour_order: str,
) -> np.ndarray:
  """Embeds images with a net of another code base.

  Args:
    architecture: one of `architectures`.
    state: its state dict.
    pixels: uint8 [n, h, w, 3], RGB.
    scaling: of what the net takes.
    colour_order: likewise, 'RGB' or 'BGR'.

  Returns:
    float32 [n, d], not normalised: where the original divides by the length,
    what is before that.
  """
  torch = convert.library('torch')
  net = errors.choose('architecture', architecture, _NETS)
  # Nested dicts, by the parts of the names, in the order of the file.
  tensors = traverse_util.unflatten_dict(
    {name: torch.from_numpy(np.array(value)) for name, value in state.items()},
    sep='.',
  )
  if colour_order == 'BGR':
    pixels = pixels[..., ::-1]
  mean, std = map(np.float32, scaling)
  results = []
  with torch.inference_mode():
    for first in range(0, len(pixels), _BATCH):
      rows = (pixels[first : first + _BATCH].astype(np.float32) - mean) / std
      x = torch.from_numpy(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))
      results.append(net(tensors, x).numpy())
  return np.concatenate(results)


def _numbered(part):
  """The numbered parts, in the order of their numbers."""
  return [part[number] for number in sorted(filter(str.isdigit, part), key=int)]


def _functional():
  return convert.library('torch').nn.functional


def _conv(part, x, stride=1, padding=None):
  weight = part['weight']
  return _functional().conv2d(
    x,
    weight,
    part.get('bias'),
    stride=stride,
    padding=weight.shape[-1] // 2 if padding is None else padding,
    groups=x.shape[1] // weight.shape[1],
  )


def _norm(part, x, epsilon=1e-5):
  statistics = part['running_mean'], part['running_var']
  return _functional().batch_norm(
    x, *statistics, part.get('weight'), part.get('bias'), eps=epsilon
  )


def _prelu(part, x):
  return _functional().prelu(x, part['weight'])


def _dense(part, x):
  return _functional().linear(x, part['weight'], part.get('bias'))


def _layer(part, x, stride=1):
  """A layer of a sequence, known by what it has."""
  if 'running_mean' in part:
    return _norm(part, x)
  if 'fc1' in part:
    mean = x.mean((2, 3), keepdim=True)
    return x * _conv(part['fc2'], _conv(part['fc1'], mean).relu()).sigmoid()
  if 'shared_mlp' in part:
    first, last = _numbered(part['shared_mlp'])
    pooled = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    weights = sum(_conv(last, _conv(first, p).relu()) for p in pooled)
    return x * weights.sigmoid()
  if 'conv' in part:
    torch = convert.library('torch')
    both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
    return x * _conv(part['conv'], both).sigmoid()
  if part['weight'].ndim == 1:
    return _prelu(part, x)
  return _conv(part, x, stride)


def _sequence(layers, x, stride=1):
  """Layers one after another; the stride is the last convolution's."""
  kernels = [getattr(layer.get('weight'), 'ndim', 0) == 4 for layer in layers]
  last = len(kernels) - 1 - kernels[::-1].index(True)
  for i, layer in enumerate(layers):
    x = _layer(layer, x, stride if i == last else 1)
  return x


def _shortcut(layers, x, stride):
  """Convolution and batch norm, or every stride-th pixel."""
  if layers:
    return _norm(layers['1'], _conv(layers['0'], x, stride))
  return x[:, :, ::stride, ::stride]


def _ir_block(part, x, stride):
  branch = _sequence(_numbered(part['res_layer']), x, stride)
  if 'se_block' in part['res_layer']:
    branch = _layer(part['res_layer']['se_block'], branch)
  return branch + _shortcut(part.get('shortcut_layer'), x, stride)


def _output(part, x):
  flat = _norm(part['0'], x).flatten(1)
  return _norm(part['4'], _dense(part['3'], flat))


def _stages(net):
  """The blocks of `layer1`, `layer2`, ..., and the stride of each."""
  for stage in sorted(name for name in net if name.startswith('layer')):
    for i, block in enumerate(_numbered(net[stage])):
      yield block, 2 if i == 0 else 1


def _boundaryface(net, x):
  x = _sequence(_numbered(net['input_layer']), x)
  for block, stride in _stages(net):
    x = _ir_block(block, x, stride)
  return _output(net['output_layer'], x)


def _body(net, x):
  """FaceX-Zoo's and AdaFace's: a stage begins where the channels change.

  And at the first block, whose channels are those of the stem.
  """
  x = _sequence(_numbered(net['input_layer']), x)
  for i, block in enumerate(_numbered(net['body'])):
    x = _ir_block(block, x, 2 if i == 0 or 'shortcut_layer' in block else 1)
  return _output(net['output_layer'], x)


def _insightface(net, x):
  x = _prelu(net['prelu'], _norm(net['bn1'], _conv(net['conv1'], x)))
  for block, stride in _stages(net):
    y = _conv(block['conv1'], _norm(block['bn1'], x))
    y = _prelu(block['prelu'], _norm(block['bn2'], y))
    y = _norm(block['bn3'], _conv(block['conv2'], y, stride))
    x = y + _shortcut(block.get('downsample'), x, stride)
  flat = _norm(net['bn2'], x).flatten(1)
  return _norm(net['features'], _dense(net['fc'], flat))


def _conv_block(part, x, stride=1, padding=None):
  """Convolution, batch norm and, where it has slopes, PReLU."""
  conv, norm, *slopes = _numbered(part['layers'])
  x = _norm(norm, _conv(conv, x, stride, padding))
  return _prelu(slopes[0], x) if slopes else x


def _depthwise(part, x, stride=1):
  first, middle, last = _numbered(part['layers'])
  x = _conv_block(middle, _conv_block(first, x), stride)
  return _conv_block(last, x)


def _mobilefacenet(net, x):
  for i, layer in enumerate(_numbered(net['layers'])):
    inner = _numbered(layer['layers'])
    if 'weight' in inner[0]:
      x = _conv_block(layer, x, 2 if i == 0 else 1)
    elif 'weight' in inner[0]['layers']['0']:
      x = _depthwise(layer, x, 2)
    else:
      for unit in inner:
        x = x + _depthwise(unit, x)
  x = _conv_block(net['conv_sep'], x)
  whole_map, dense, norm = _numbered(net['features']['layers'])
  x = _conv_block(whole_map, x, padding=0).flatten(1)
  return _norm(norm, _dense(dense, x))


def _layer_norm(part, x):
  weight = part['weight']
  return _functional().layer_norm(x, weight.shape, weight, part['bias'])


def _attention(part, x):
  n, patches, dim = x.shape
  qkv = _dense(part['qkv'], x)
  q, k, v = qkv.view(n, patches, 3, _HEADS, -1).permute(2, 0, 3, 1, 4)
  weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
  mixed = (weights @ v).transpose(1, 2).reshape(n, patches, dim)
  return _dense(part['proj'], mixed)


def _vision_transformer(net, x):
  conv = net['patch_embed']['proj']
  x = _conv(conv, x, stride=conv['weight'].shape[-1], padding=0)
  x = x.flatten(2).transpose(1, 2) + net['pos_embed']
  for block in _numbered(net['blocks']):
    x = x + _attention(block['attn'], _layer_norm(block['norm1'], x))
    hidden = _dense(block['mlp']['fc1'], _layer_norm(block['norm2'], x))
    x = x + _dense(block['mlp']['fc2'], hidden.clamp(0, 6))
  x = _layer_norm(net['norm'], x).flatten(1)
  first, norm1, second, norm2 = _numbered(net['feature'])
  x = _norm(norm1, _dense(first, x), epsilon=2e-5)
  return _norm(norm2, _dense(second, x), epsilon=2e-5)


_NETS: dict[str, Callable] = {
  'boundaryface': _boundaryface,
  'facexzoo': _body,
  'adaface': _body,
  'insightface': _insightface,
  'insightface_mbf': _mobilefacenet,
  'insightface_vit': _vision_transformer,
}

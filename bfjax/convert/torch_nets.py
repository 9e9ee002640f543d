"""The architectures of `names` as functions of a state dict, in PyTorch.

What a net does is read off the names and shapes in the file, with nothing of
`mapping` or of our backbones: this is the other side of the proof. Inference
alone; maps are [rows, channels, height, width].
"""

from collections.abc import Callable, Mapping

import numpy as np

from bfjax import convert, errors

_HEADS = 8  # of attention, in every vision transformer of arcface_torch
_BATCH = 8


def embed(
  architecture: str, state: Mapping[str, np.ndarray], images: np.ndarray
) -> np.ndarray:
  """Embeds images with a net of another code base.

  Args:
    architecture: a file of `names`.
    state: its state dict.
    images: float32 [n, h, w, 3], scaled, in the net's colour order.

  Returns:
    float32 [n, d], not normalised: where the original divides by the length,
    what is before that.
  """
  torch = convert.library('torch')
  net = errors.choose('architecture', architecture, _NETS)
  tensors = _Tensors(
    {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
  )
  results = []
  with torch.inference_mode():
    for first in range(0, len(images), _BATCH):
      rows = images[first : first + _BATCH].transpose(0, 3, 1, 2)
      x = torch.from_numpy(np.ascontiguousarray(rows))
      results.append(net(tensors, x).numpy())
  return np.concatenate(results)


class _Tensors:
  """A part of a state dict: the names that begin with a prefix."""

  def __init__(self, tensors: Mapping, prefix: str = ''):
    self._tensors, self._prefix = tensors, prefix

  def __getitem__(self, name: str):
    return self._tensors[self._prefix + name]

  def get(self, name: str):
    return self._tensors.get(self._prefix + name)

  def inside(self, name: str) -> '_Tensors':
    return _Tensors(self._tensors, f'{self._prefix}{name}.')

  def children(self) -> list[str]:
    """The next parts of the names, in the order of the file."""
    names = (x.removeprefix(self._prefix) for x in self._tensors)
    mine = (
      name
      for name, whole in zip(names, self._tensors, strict=True)
      if whole.startswith(self._prefix)
    )
    return list(dict.fromkeys(name.partition('.')[0] for name in mine))

  def numbered(self) -> list['_Tensors']:
    """The numbered parts, in the order of their numbers."""
    numbers = sorted(int(x) for x in self.children() if x.isdigit())
    return [self.inside(str(number)) for number in numbers]


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
  return _functional().batch_norm(
    x,
    part['running_mean'],
    part['running_var'],
    part.get('weight'),
    part.get('bias'),
    eps=epsilon,
  )


def _prelu(part, x):
  return _functional().prelu(x, part['weight'])


def _dense(part, x):
  return _functional().linear(x, part['weight'], part.get('bias'))


def _layer(part, x, stride=1):
  """A layer of a sequence, known by what it has."""
  if part.get('running_mean') is not None:
    return _norm(part, x)
  if part.get('fc1.weight') is not None:
    mean = x.mean((2, 3), keepdim=True)
    hidden = _conv(part.inside('fc1'), mean).relu()
    return x * _conv(part.inside('fc2'), hidden).sigmoid()
  if part.get('shared_mlp.0.weight') is not None:
    first, last = part.inside('shared_mlp').numbered()
    pooled = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return (
      x * sum(_conv(last, _conv(first, p).relu()) for p in pooled).sigmoid()
    )
  if part.get('conv.weight') is not None:
    torch = convert.library('torch')
    both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
    return x * _conv(part.inside('conv'), both).sigmoid()
  if part['weight'].ndim == 1:
    return _prelu(part, x)
  return _conv(part, x, stride)


def _stem(part, x):
  for layer in part.numbered():
    x = _layer(layer, x)
  return x


def _branch(part, x, stride):
  """A residual branch; the stride is the last convolution's."""
  layers = part.numbered()
  convolutions = [
    i
    for i, layer in enumerate(layers)
    if getattr(layer.get('weight'), 'ndim', 0) == 4
  ]
  for i, layer in enumerate(layers):
    x = _layer(layer, x, stride if i == convolutions[-1] else 1)
  if 'se_block' in part.children():
    x = _layer(part.inside('se_block'), x)
  return x


def _shortcut(conv, norm, x, stride):
  if conv.get('weight') is None:
    return x[:, :, ::stride, ::stride]
  return _norm(norm, _conv(conv, x, stride))


def _ir_block(part, x, stride):
  conv = part.inside('shortcut_layer.0')
  norm = part.inside('shortcut_layer.1')
  branch = _branch(part.inside('res_layer'), x, stride)
  return branch + _shortcut(conv, norm, x, stride)


def _output(part, x):
  flat = _norm(part.inside('0'), x).flatten(1)
  return _norm(part.inside('4'), _dense(part.inside('3'), flat))


def _boundaryface(net, x):
  x = _stem(net.inside('input_layer'), x)
  for stage in sorted(n for n in net.children() if n.startswith('layer')):
    for i, block in enumerate(net.inside(stage).numbered()):
      x = _ir_block(block, x, 2 if i == 0 else 1)
  return _output(net.inside('output_layer'), x)


def _body(net, x):
  """FaceX-Zoo's and AdaFace's: a stage begins where the channels change.

  And at the first block, whose channels are those of the stem.
  """
  x = _stem(net.inside('input_layer'), x)
  for i, block in enumerate(net.inside('body').numbered()):
    begins = i == 0 or block.get('shortcut_layer.0.weight') is not None
    x = _ir_block(block, x, 2 if begins else 1)
  return _output(net.inside('output_layer'), x)


def _insightface(net, x):
  x = _conv(net.inside('conv1'), x)
  x = _prelu(net.inside('prelu'), _norm(net.inside('bn1'), x))
  for stage in sorted(n for n in net.children() if n.startswith('layer')):
    for i, block in enumerate(net.inside(stage).numbered()):
      stride = 2 if i == 0 else 1
      y = _conv(block.inside('conv1'), _norm(block.inside('bn1'), x))
      y = _prelu(block.inside('prelu'), _norm(block.inside('bn2'), y))
      y = _norm(block.inside('bn3'), _conv(block.inside('conv2'), y, stride))
      conv, norm = block.inside('downsample.0'), block.inside('downsample.1')
      x = y + _shortcut(conv, norm, x, stride)
  flat = _norm(net.inside('bn2'), x).flatten(1)
  return _norm(net.inside('features'), _dense(net.inside('fc'), flat))


def _conv_block(part, x, stride=1, padding=None):
  """Convolution, batch norm and, where it has slopes, PReLU."""
  conv, norm, *slopes = part.inside('layers').numbered()
  x = _norm(norm, _conv(conv, x, stride, padding))
  return _prelu(slopes[0], x) if slopes else x


def _depthwise(part, x, stride=1):
  first, middle, last = part.inside('layers').numbered()
  x = _conv_block(middle, _conv_block(first, x), stride)
  return _conv_block(last, x)


def _mobilefacenet(net, x):
  for i, layer in enumerate(net.inside('layers').numbered()):
    inner = layer.inside('layers').numbered()
    if layer.get('layers.0.weight') is not None:
      x = _conv_block(layer, x, 2 if i == 0 else 1)
    elif inner[0].get('layers.0.weight') is not None:
      x = _depthwise(layer, x, 2)
    else:
      for unit in inner:
        x = x + _depthwise(unit, x)
  x = _conv_block(net.inside('conv_sep'), x)
  whole_map, dense, norm = net.inside('features.layers').numbered()
  x = _conv_block(whole_map, x, padding=0).flatten(1)
  return _norm(norm, _dense(dense, x))


def _layer_norm(part, x):
  weight = part['weight']
  return _functional().layer_norm(x, weight.shape, weight, part['bias'])


def _attention(part, x):
  n, patches, dim = x.shape
  qkv = _dense(part.inside('qkv'), x)
  q, k, v = qkv.view(n, patches, 3, _HEADS, -1).permute(2, 0, 3, 1, 4)
  weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
  mixed = (weights @ v).transpose(1, 2).reshape(n, patches, dim)
  return _dense(part.inside('proj'), mixed)


def _vision_transformer(net, x):
  conv = net.inside('patch_embed.proj')
  x = _conv(conv, x, stride=conv['weight'].shape[-1], padding=0)
  x = x.flatten(2).transpose(1, 2) + net['pos_embed']
  for block in net.inside('blocks').numbered():
    normed = _layer_norm(block.inside('norm1'), x)
    x = x + _attention(block.inside('attn'), normed)
    hidden = _dense(
      block.inside('mlp.fc1'), _layer_norm(block.inside('norm2'), x)
    )
    x = x + _dense(block.inside('mlp.fc2'), hidden.clamp(0, 6))
  x = _layer_norm(net.inside('norm'), x).flatten(1)
  first, norm1, second, norm2 = net.inside('feature').numbered()
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

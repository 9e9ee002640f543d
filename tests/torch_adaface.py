"""AdaFace's net.py in PyTorch, apart from ours: an oracle.

Modules are named as there, so that the state dicts have the keys of its files
(which put `model.` before them); sizes can be smaller. Layers are torch's own,
[rows, channels, height, width].
"""

import torch
from torch import nn

DEPTHS = {
  18: (2, 2, 2, 2),
  34: (3, 4, 6, 3),
  50: (3, 4, 14, 3),
  101: (3, 13, 30, 3),
  152: (3, 8, 36, 3),
  200: (3, 24, 36, 3),
}
BOTTLENECKS = (152, 200)


class SqueezeExcite(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
    self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

  def forward(self, x):
    mean = x.mean(dim=(2, 3), keepdim=True)
    return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


def basic(inputs, outputs, stride):
  return nn.Sequential(
    nn.BatchNorm2d(inputs),
    nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
    nn.BatchNorm2d(outputs),
    nn.PReLU(outputs),
    nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
    nn.BatchNorm2d(outputs),
  )


def bottleneck(inputs, outputs, stride):
  narrow = outputs // 4
  return nn.Sequential(
    nn.BatchNorm2d(inputs),
    nn.Conv2d(inputs, narrow, 1, bias=False),
    nn.BatchNorm2d(narrow),
    nn.PReLU(narrow),
    nn.Conv2d(narrow, narrow, 3, padding=1, bias=False),
    nn.BatchNorm2d(narrow),
    nn.PReLU(narrow),
    nn.Conv2d(narrow, outputs, 1, stride, bias=False),
    nn.BatchNorm2d(outputs),
  )


def shortcut(inputs, outputs, stride):
  if inputs == outputs:
    return nn.MaxPool2d(1, stride)
  return nn.Sequential(
    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
  )


class Unit(nn.Module):
  def __init__(self, branch, inputs, outputs, stride, mode):
    super().__init__()
    self.shortcut_layer = shortcut(inputs, outputs, stride)
    self.res_layer = branch(inputs, outputs, stride)
    if mode == 'ir_se':
      self.res_layer.add_module('se_block', SqueezeExcite(outputs))

  def forward(self, x):
    return self.res_layer(x) + self.shortcut_layer(x)


class Backbone(nn.Module):
  """IR_18 ... IR_200: images to (feature, norm), the feature of length 1."""

  def __init__(
    self,
    depth=50,
    mode='ir',
    blocks=None,
    widths=None,
    image_size=112,
    feature_dim=512,
    dropout=0.4,
  ):
    super().__init__()
    wide = depth in BOTTLENECKS
    branch = bottleneck if wide else basic
    if widths is None:
      widths = (64, *(c * (4 if wide else 1) for c in (64, 128, 256, 512)))
    self.input_layer = nn.Sequential(
      nn.Conv2d(3, widths[0], 3, padding=1, bias=False),
      nn.BatchNorm2d(widths[0]),
      nn.PReLU(widths[0]),
    )
    units = []
    inputs = widths[0]
    blocks = blocks or DEPTHS[depth]
    for outputs, count in zip(widths[1:], blocks, strict=True):
      for i in range(count):
        stride = 2 if i == 0 else 1
        units.append(Unit(branch, inputs, outputs, stride, mode))
        inputs = outputs
    self.body = nn.Sequential(*units)
    side = image_size // 2 ** len(blocks)
    self.output_layer = nn.Sequential(
      nn.BatchNorm2d(inputs),
      nn.Dropout(dropout),
      nn.Flatten(),
      nn.Linear(inputs * side**2, feature_dim),
      nn.BatchNorm1d(feature_dim, affine=False),
    )

  def forward(self, x):
    feature = self.output_layer(self.body(self.input_layer(x)))
    norm = feature.norm(dim=1, keepdim=True)
    return feature / norm, norm

"""FaceX-Zoo's Resnet (ResNets.py) in PyTorch, apart from ours: an oracle.

Modules are named as there, so that the state dicts have the keys of its files
(which put `backbone.` before them, and `module.` where several GPUs trained);
sizes can be smaller. Layers are torch's own, [rows, channels, height, width].
"""

import torch
from torch import nn

DEPTHS = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)}


class SqueezeExcite(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
    self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

  def forward(self, x):
    mean = x.mean(dim=(2, 3), keepdim=True)
    return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


class Unit(nn.Module):
  """No norm between the first convolution and PReLU."""

  def __init__(self, inputs, outputs, stride, mode):
    super().__init__()
    if inputs == outputs:
      self.shortcut_layer = nn.MaxPool2d(1, stride)
    else:
      self.shortcut_layer = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs),
      )
    layers = [
      nn.BatchNorm2d(inputs),
      nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
      nn.PReLU(outputs),
      nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
      nn.BatchNorm2d(outputs),
    ]
    if mode == 'ir_se':
      layers.append(SqueezeExcite(outputs))
    self.res_layer = nn.Sequential(*layers)

  def forward(self, x):
    return self.res_layer(x) + self.shortcut_layer(x)


class Resnet(nn.Module):
  """IR and IR-SE; what comes out has length 1."""

  def __init__(
    self,
    depth=50,
    mode='ir',
    blocks=None,
    widths=(64, 64, 128, 256, 512),
    image_size=112,
    feat_dim=512,
    dropout=0.4,
  ):
    super().__init__()
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
        units.append(Unit(inputs, outputs, 2 if i == 0 else 1, mode))
        inputs = outputs
    self.body = nn.Sequential(*units)
    side = image_size // 2 ** len(blocks)
    self.output_layer = nn.Sequential(
      nn.BatchNorm2d(inputs),
      nn.Dropout(dropout),
      nn.Flatten(),
      nn.Linear(inputs * side**2, feat_dim),
      nn.BatchNorm1d(feat_dim),
    )

  def forward(self, x):
    embedding = self.output_layer(self.body(self.input_layer(x)))
    return embedding / embedding.norm(dim=1, keepdim=True)

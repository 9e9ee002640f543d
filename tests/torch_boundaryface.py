"""BoundaryFace's CBAMResNet in PyTorch, apart from ours: an oracle.

Modules are named as there, so that the state dicts have the keys of its files;
sizes can be smaller. Layers are torch's own, [rows, channels, height, width].
"""

import torch
from torch import nn

DEPTHS = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)}
REDUCTION = 16


class SqueezeExcite(nn.Module):
  def __init__(self, channels):
    super().__init__()
    hidden = channels // REDUCTION
    self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
    self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

  def forward(self, x):
    mean = x.mean(dim=(2, 3), keepdim=True)
    return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


class ChannelAttention(nn.Module):
  def __init__(self, channels):
    super().__init__()
    hidden = channels // REDUCTION
    self.shared_mlp = nn.Sequential(
      nn.Conv2d(channels, hidden, 1, bias=False),
      nn.ReLU(),
      nn.Conv2d(hidden, channels, 1, bias=False),
    )

  def forward(self, x):
    mean = self.shared_mlp(x.mean(dim=(2, 3), keepdim=True))
    return x * torch.sigmoid(mean + self.shared_mlp(x.amax((2, 3), True)))


class SpatialAttention(nn.Module):
  def __init__(self, _):
    super().__init__()
    self.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

  def forward(self, x):
    maximum = x.max(dim=1, keepdim=True).values
    both = torch.cat([x.mean(dim=1, keepdim=True), maximum], dim=1)
    return x * torch.sigmoid(self.conv(both))


ATTENTION = {
  'ir': (),
  'ir_se': (SqueezeExcite,),
  'ir_cam': (ChannelAttention,),
  'ir_sam': (SpatialAttention,),
  'ir_cbam': (ChannelAttention, SpatialAttention),
}


class Unit(nn.Module):
  def __init__(self, inputs, outputs, first, mode):
    super().__init__()
    stride = 2 if first else 1
    self.res_layer = nn.Sequential(
      nn.BatchNorm2d(inputs),
      nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
      nn.BatchNorm2d(outputs),
      nn.PReLU(outputs),
      nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
      nn.BatchNorm2d(outputs),
      *(attention(outputs) for attention in ATTENTION[mode]),
    )
    self.shortcut_layer = None
    if first:
      self.shortcut_layer = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs),
      )

  def forward(self, x):
    shortcut = x if self.shortcut_layer is None else self.shortcut_layer(x)
    return shortcut + self.res_layer(x)


class CBAMResNet(nn.Module):
  """The network; the defaults are IR-50."""

  def __init__(
    self,
    depth=50,
    mode='ir',
    blocks=None,
    widths=(64, 64, 128, 256, 512),
    image_size=112,
    feature_dim=512,
    dropout=0.4,
    stem_stride=1,
  ):
    super().__init__()
    self.input_layer = nn.Sequential(
      nn.Conv2d(3, widths[0], 3, stem_stride, padding=1, bias=False),
      nn.BatchNorm2d(widths[0]),
      nn.PReLU(widths[0]),
    )
    self.stages = []
    inputs = widths[0]
    for stage, count in enumerate(blocks or DEPTHS[depth], start=1):
      outputs = widths[stage]
      units = [Unit(inputs, outputs, True, mode)]
      units += [Unit(outputs, outputs, False, mode) for _ in range(count - 1)]
      inputs = outputs
      self.stages.append(f'layer{stage}')
      self.add_module(f'layer{stage}', nn.Sequential(*units))
    side = image_size // stem_stride // 2 ** len(self.stages)
    self.output_layer = nn.Sequential(
      nn.BatchNorm2d(inputs),
      nn.Dropout(dropout),
      nn.Flatten(),
      nn.Linear(inputs * side**2, feature_dim),
      nn.BatchNorm1d(feature_dim),
    )
    for module in self.modules():
      if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
          nn.init.zeros_(module.bias)

  def forward(self, x):
    x = self.input_layer(x)
    for stage in self.stages:
      x = getattr(self, stage)(x)
    return self.output_layer(x)

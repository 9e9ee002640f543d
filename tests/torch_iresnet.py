"""IR-ResNet in PyTorch, apart from ours: the tests' oracle, and the benchmark.

Written from the published description, with torch's own layers, in torch's
layout [rows, channels, height, width].
"""

import torch
from torch import nn

REDUCTION = 16


class ChannelMlp(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.squeeze = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
    self.expand = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)

  def forward(self, x):
    return self.expand(torch.relu(self.squeeze(x)))


class ChannelAttention(nn.Module):
  """Squeeze-excite, or with `maximum` the channel half of CBAM."""

  def __init__(self, channels, maximum):
    super().__init__()
    self.mlp = ChannelMlp(channels)
    self.maximum = maximum

  def forward(self, x):
    weights = self.mlp(nn.functional.adaptive_avg_pool2d(x, 1))
    if self.maximum:
      weights = weights + self.mlp(nn.functional.adaptive_max_pool2d(x, 1))
    return x * torch.sigmoid(weights)


class SpatialAttention(nn.Module):
  def __init__(self):
    super().__init__()
    self.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

  def forward(self, x):
    mean = x.mean(dim=1, keepdim=True)
    maximum = x.max(dim=1, keepdim=True).values
    return x * torch.sigmoid(self.conv(torch.cat([mean, maximum], dim=1)))


class ChannelSpatialAttention(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.channel = ChannelAttention(channels, maximum=True)
    self.spatial = SpatialAttention()

  def forward(self, x):
    return self.spatial(self.channel(x))


def attention(mode, channels):
  if mode == 'ir':
    return None
  if mode == 'ir_se':
    return ChannelAttention(channels, maximum=False)
  if mode == 'ir_cam':
    return ChannelAttention(channels, maximum=True)
  if mode == 'ir_sam':
    return SpatialAttention()
  if mode == 'ir_cbam':
    return ChannelSpatialAttention(channels)
  raise ValueError(mode)


class Block(nn.Module):
  def __init__(self, inputs, outputs, first, mode):
    super().__init__()
    stride = 2 if first else 1
    self.norm1 = nn.BatchNorm2d(inputs)
    self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    self.norm2 = nn.BatchNorm2d(outputs)
    self.prelu = nn.PReLU(outputs)
    self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
    self.norm3 = nn.BatchNorm2d(outputs)
    self.attention = attention(mode, outputs)
    self.shortcut_conv = None
    if first:
      self.shortcut_conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
      self.shortcut_norm = nn.BatchNorm2d(outputs)

  def forward(self, x):
    branch = self.conv1(self.norm1(x))
    branch = self.conv2(self.prelu(self.norm2(branch)))
    branch = self.norm3(branch)
    if self.attention is not None:
      branch = self.attention(branch)
    if self.shortcut_conv is not None:
      x = self.shortcut_norm(self.shortcut_conv(x))
    return branch + x


class IResNet(nn.Module):
  """The network; the defaults are IR-50."""

  def __init__(
    self,
    mode='ir',
    image_size=112,
    embedding_dim=512,
    widths=(64, 64, 128, 256, 512),
    blocks=(3, 4, 14, 3),
    stem_stride=1,
    dropout=0.4,
  ):
    super().__init__()
    self.stem_conv = nn.Conv2d(
      3, widths[0], 3, stem_stride, padding=1, bias=False
    )
    self.stem_norm = nn.BatchNorm2d(widths[0])
    self.stem_prelu = nn.PReLU(widths[0])
    self.block_names = []
    inputs = widths[0]
    for i, (outputs, count) in enumerate(
      zip(widths[1:], blocks, strict=True), start=1
    ):
      for j in range(1, count + 1):
        name = f'stage{i}_block{j}'
        self.add_module(name, Block(inputs, outputs, j == 1, mode))
        self.block_names.append(name)
        inputs = outputs
    side = image_size // stem_stride // 2 ** len(blocks)
    self.head_norm = nn.BatchNorm2d(inputs)
    self.head_dropout = nn.Dropout(dropout)
    self.head_linear = nn.Linear(inputs * side * side, embedding_dim)
    self.embedding_norm = nn.BatchNorm1d(embedding_dim)
    for module in self.modules():
      if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
          nn.init.zeros_(module.bias)

  def forward(self, x):
    x = self.stem_prelu(self.stem_norm(self.stem_conv(x)))
    for name in self.block_names:
      x = getattr(self, name)(x)
    x = self.head_dropout(self.head_norm(x))
    return self.embedding_norm(self.head_linear(x.flatten(1)))

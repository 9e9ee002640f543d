"""InsightFace's arcface_torch nets in PyTorch, apart from ours: an oracle.

Modules are named as there, so that the state dicts have the keys of its files;
sizes can be smaller. Layers are torch's own, [rows, channels, height, width].
"""

from torch import nn

DEPTHS = {
  18: (2, 2, 2, 2),
  34: (3, 4, 6, 3),
  50: (3, 4, 14, 3),
  100: (3, 13, 30, 3),
  200: (6, 26, 60, 6),
}


class Unit(nn.Module):
  def __init__(self, inputs, outputs, stride):
    super().__init__()
    self.bn1 = nn.BatchNorm2d(inputs)
    self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    self.bn2 = nn.BatchNorm2d(outputs)
    self.prelu = nn.PReLU(outputs)
    self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
    self.bn3 = nn.BatchNorm2d(outputs)
    self.downsample = None
    if stride > 1 or inputs != outputs:
      self.downsample = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs),
      )

  def forward(self, x):
    y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
    y = self.bn3(self.conv2(y))
    return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
  """r18 ... r200; the last norm's scale is fixed at 1."""

  def __init__(
    self,
    depth=50,
    blocks=None,
    widths=(64, 64, 128, 256, 512),
    image_size=112,
    num_features=512,
    dropout=0.0,
  ):
    super().__init__()
    self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
    self.bn1 = nn.BatchNorm2d(widths[0])
    self.prelu = nn.PReLU(widths[0])
    self.stages = []
    inputs = widths[0]
    for stage, count in enumerate(blocks or DEPTHS[depth], start=1):
      outputs = widths[stage]
      units = [Unit(inputs, outputs, 2)]
      units += [Unit(outputs, outputs, 1) for _ in range(count - 1)]
      inputs = outputs
      self.stages.append(f'layer{stage}')
      self.add_module(f'layer{stage}', nn.Sequential(*units))
    side = image_size // 2 ** len(self.stages)
    self.bn2 = nn.BatchNorm2d(inputs)
    self.dropout = nn.Dropout(dropout)
    self.fc = nn.Linear(inputs * side**2, num_features)
    self.features = nn.BatchNorm1d(num_features)
    self.features.weight.requires_grad = False

  def forward(self, x):
    x = self.prelu(self.bn1(self.conv1(x)))
    for stage in self.stages:
      x = getattr(self, stage)(x)
    return self.features(self.fc(self.dropout(self.bn2(x).flatten(1))))


def convolution(inputs, outputs, size, stride=1, padding=0, groups=1):
  """Convolution and batch norm, without or (below) with PReLU."""
  conv = nn.Conv2d(
    inputs, outputs, size, stride, padding, groups=groups, bias=False
  )
  return [conv, nn.BatchNorm2d(outputs)]


class Layers(nn.Module):
  """A sequence in an attribute `layers`, as all modules of the net are."""

  def __init__(self, *layers):
    super().__init__()
    self.layers = nn.Sequential(*layers)

  def forward(self, x):
    return self.layers(x)


class Linear(Layers):
  def __init__(self, *args, **options):
    super().__init__(*convolution(*args, **options))


class Activated(Layers):
  def __init__(self, inputs, outputs, *args, **options):
    super().__init__(
      *convolution(inputs, outputs, *args, **options), nn.PReLU(outputs)
    )


class DepthWise(Layers):
  def __init__(self, inputs, outputs, hidden, stride):
    super().__init__(
      Activated(inputs, hidden, 1),
      Activated(hidden, hidden, 3, stride, 1, groups=hidden),
      Linear(hidden, outputs, 1),
    )


class Residual(Layers):
  def __init__(self, channels, hidden, count):
    super().__init__(
      *(DepthWise(channels, channels, hidden, 1) for _ in range(count))
    )

  def forward(self, x):
    for unit in self.layers:
      x = x + unit(x)
    return x


class MobileFaceNet(nn.Module):
  """mbf with scale 2 and blocks (1, 4, 6, 2); mbf_large 4 and (2, 8, 12, 4).

  `unit` is 64 there: channels and groups are multiples of it.
  """

  def __init__(
    self,
    blocks=(1, 4, 6, 2),
    scale=2,
    unit=64,
    image_size=112,
    num_features=512,
  ):
    super().__init__()
    narrow, wide = unit * scale, 2 * unit * scale
    if blocks[0] == 1:
      first = Activated(narrow, narrow, 3, 1, 1, groups=unit)
    else:
      first = Residual(narrow, 2 * unit, blocks[0])
    self.layers = nn.ModuleList(
      [
        Activated(3, narrow, 3, 2, 1),
        first,
        DepthWise(narrow, narrow, 2 * unit, 2),
        Residual(narrow, 2 * unit, blocks[1]),
        DepthWise(narrow, wide, 4 * unit, 2),
        Residual(wide, 4 * unit, blocks[2]),
        DepthWise(wide, wide, 8 * unit, 2),
        Residual(wide, 4 * unit, blocks[3]),
      ]
    )
    last = 8 * unit
    self.conv_sep = Activated(wide, last, 1)
    self.features = Layers(
      Linear(last, last, image_size // 16, groups=last),
      nn.Flatten(),
      nn.Linear(last, num_features, bias=False),
      nn.BatchNorm1d(num_features),
    )

  def forward(self, x):
    for layer in self.layers:
      x = layer(x)
    return self.features(self.conv_sep(x))

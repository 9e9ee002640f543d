"""Small originals with random weights, saved as their trainers save them."""

import numpy as np
import torch

import torch_adaface
import torch_boundaryface
import torch_facexzoo
import torch_insightface
import torch_vit

SIZE = 16
DIM = 8
CLASSES = 5
_IR = dict(widths=(16, 16, 32), blocks=(2, 1), image_size=SIZE)


def _boundaryface(mode):
  return torch_boundaryface.CBAMResNet(mode=mode, feature_dim=DIM, **_IR)


def _adaface(**options):
  return torch_adaface.Backbone(feature_dim=DIM, **_IR, **options)


def _facexzoo(mode):
  return torch_facexzoo.Resnet(mode=mode, feat_dim=DIM, **_IR)


def _mobilefacenet(**options):
  return torch_insightface.MobileFaceNet(
    unit=8, image_size=SIZE, num_features=DIM, **options
  )


# Case, its code base first -> what makes the net, some of our options for it.
NETS = {
  'boundaryface ir': (lambda: _boundaryface('ir'), {'mode': 'ir'}),
  'boundaryface ir_se': (lambda: _boundaryface('ir_se'), {'mode': 'ir_se'}),
  'boundaryface ir_cam': (lambda: _boundaryface('ir_cam'), {'mode': 'ir_cam'}),
  'boundaryface ir_sam': (lambda: _boundaryface('ir_sam'), {'mode': 'ir_sam'}),
  'boundaryface ir_cbam': (
    lambda: _boundaryface('ir_cbam'),
    {'mode': 'ir_cbam', 'blocks': (2, 1), 'widths': (16, 16, 32)},
  ),
  'facexzoo ir': (
    lambda: _facexzoo('ir'),
    {'variant': 'facexzoo', 'blocks': (2, 1), 'widths': (16, 16, 32)},
  ),
  'facexzoo ir_se': (lambda: _facexzoo('ir_se'), {'mode': 'ir_se'}),
  'adaface ir': (lambda: _adaface(), {'variant': 'adaface', 'mode': 'ir'}),
  'adaface ir_se': (lambda: _adaface(mode='ir_se'), {'mode': 'ir_se'}),
  'adaface bottlenecks': (lambda: _adaface(depth=152), {'depth': 152}),
  'insightface iresnet': (
    lambda: torch_insightface.IResNet(num_features=DIM, **_IR),
    {'variant': 'insightface', 'blocks': (2, 1)},
  ),
  'insightface mbf': (
    lambda: _mobilefacenet(blocks=(1, 2, 1, 1)),
    {'name': 'mobilefacenet', 'variant': 'mbf', 'width': 8},
  ),
  'insightface mbf_large': (
    lambda: _mobilefacenet(blocks=(2, 1, 1, 1), scale=4),
    {'variant': 'mbf_large', 'blocks': (2, 1, 1, 1)},
  ),
  'insightface vit': (
    lambda: torch_vit.VisionTransformer(
      dim=16, depth=2, patch_size=8, image_size=SIZE, num_features=DIM
    ),
    {'name': 'vit', 'dim': 16, 'depth': 2, 'patch_size': 8},
  ),
}


def make(case):
  """The net in inference mode; nothing in it is 0 or 1 by construction."""
  torch.manual_seed(0)
  net = NETS[case][0]()
  with torch.no_grad():
    for name, value in net.state_dict().items():
      if name.endswith('running_var'):
        value.uniform_(0.5, 2)
      elif name.endswith('running_mean'):
        value.normal_(0, 0.3)
      elif name.endswith('num_batches_tracked'):
        value.fill_(1234)
      elif value.ndim == 1:
        value.add_(0.2 * torch.randn(value.shape))
  return net.eval()


def centres():
  generator = np.random.default_rng(1)
  return generator.normal(size=(CLASSES, DIM)).astype(np.float32)


def save(case, net, path):
  """Saves the net, and centres where that trainer has them in the same file.

  Returns whether the file has centres.
  """
  state = net.state_dict()
  code_base = case.split()[0]
  weight = torch.from_numpy(centres())
  if code_base == 'boundaryface':
    torch.save({'iters': 7, 'currentEpoch': 1, 'net_state_dict': state}, path)
    return False
  if code_base == 'insightface':
    torch.save(state, path)
    return False
  prefix, name = {
    'facexzoo': ('module.backbone.', 'module.head.weight'),
    'adaface': ('model.', 'head.kernel'),
  }[code_base]
  whole = {f'{prefix}{key}': value for key, value in state.items()}
  whole[name] = weight.T.contiguous()
  if code_base == 'adaface':
    whole['head.t'] = torch.zeros(1)
  torch.save({'state_dict': whole, 'epoch': 3}, path)
  return True


def embed(net, images, training=False):
  """In float64, from uint8 RGB images, scaled and ordered as they are there.

  What is before a division by the length, where the original divides. With
  `training`, a tensor with its graph.
  """
  kind = type(net)
  std = 128 if kind is torch_facexzoo.Resnet else 127.5
  scaled = (images.astype(np.float64) - 127.5) / std
  if kind in (
    torch_boundaryface.CBAMResNet,
    torch_facexzoo.Resnet,
    torch_adaface.Backbone,
  ):
    scaled = scaled[..., ::-1]
  x = torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))
  net = net.double()
  with torch.set_grad_enabled(training):
    if hasattr(net, 'body'):
      found = net.output_layer(net.body(net.input_layer(x)))
    else:
      found = net(x)
  return found if training else found.numpy()

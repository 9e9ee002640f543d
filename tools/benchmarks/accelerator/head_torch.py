"""BoundaryFace's head in PyTorch, as one would write it to be fast.

The products are float32, as ours; the choices of a class are gathers and
scatters, not one-hot products, and torch.compile fuses the rest.
"""

import math

import torch

SCALE, MARGIN, WEIGHT = 32.0, 0.5, math.pi


def loss(embedding, centres, label):
  """The mean loss of embeddings [n, d] with centres [c, d]: a scalar.

  ArcFace's margin; labels are corrected where the nearest other class is beyond
  its decision boundary, and the boundary term has the weight lambda = pi.
  """
  normalise = torch.nn.functional.normalize
  cosine = normalise(embedding.float()) @ normalise(centres).T
  rows = torch.arange(len(label), device=label.device)
  with torch.no_grad():
    others = cosine.scatter(1, label[:, None], -math.inf)
    other_cosine, other = others.max(1)
    beyond = phi(other_cosine).clamp(min=0) > cosine[rows, label].clamp(min=0)
    label = torch.where(beyond, other, label)
  target_phi = phi(cosine[rows, label])
  others = cosine.scatter(1, label[:, None], -math.inf)
  logits = cosine.scatter(1, label[:, None], target_phi[:, None])
  entropy = torch.nn.functional.cross_entropy(SCALE * logits, label)
  gap = torch.relu(others.amax(1)) - torch.relu(target_phi)
  return entropy + WEIGHT * torch.relu(gap).mean()


def phi(cosine):
  """ArcFace's target logit."""
  sine = torch.sqrt((1 - cosine * cosine).clamp(min=1e-12))
  inside = cosine * math.cos(MARGIN) - sine * math.sin(MARGIN)
  beyond = cosine - MARGIN * math.sin(math.pi - MARGIN)
  return torch.where(cosine > math.cos(math.pi - MARGIN), inside, beyond)

"""The published heads at an epoch, in float64 PyTorch, from their formulas.

As the published code computes them: whole batches, one-hot products, and the
epoch deciding what is in force. It shares nothing with bfjax, nor with
`oracle_heads`, which knows no epochs.
"""

import math
from typing import NamedTuple

import torch

# head -> weight of the boundary term; of the two that correct labels.
LAMBDA = {'boundary_f1': 0.0, 'boundaryface': math.pi}
HEADS = ('arcface', 'mv_arc_softmax', 'curricularface', *LAMBDA)
T_MV, T_ALPHA = 0.2, 0.01


class Outcome(NamedTuple):
  """Of a batch.

  Attributes:
    loss: what is minimised, a scalar with a gradient.
    penalty: [n], the boundary term before its weight.
    label: int64 [n], the labels trained with.
    t: CurricularFace's running mean.
  """

  loss: torch.Tensor
  penalty: torch.Tensor
  label: torch.Tensor
  t: float


def outcome(
  head, embedding, centres, label, *, epoch, epoch_start, s, m, t
) -> Outcome:
  """One batch of the head called `head` in epoch `epoch`, counted from 1."""
  one_hot = torch.eye(len(centres), dtype=torch.float64)
  cosine = torch.nn.functional.normalize(embedding) @ (
    torch.nn.functional.normalize(centres).T
  )
  sine = torch.sqrt(1 - cosine**2)
  sum_of_angles = cosine * math.cos(m) - sine * math.sin(m)
  phi = torch.where(
    cosine > math.cos(math.pi - m),
    sum_of_angles,
    cosine - m * math.sin(math.pi - m),
  )
  penalty = torch.zeros(len(label), dtype=torch.float64)
  hot, others = one_hot[label], cosine
  if head == 'mv_arc_softmax':
    own = (phi * hot).sum(1, keepdim=True).detach()
    hard = cosine.detach() >= own
    others = torch.where(hard, cosine + T_MV, cosine).clamp(-1, 1)
    phi = phi.clamp(-1, 1)
  elif head == 'curricularface':
    mean = (cosine * hot).sum(1).mean().item()
    t = T_ALPHA * mean + (1 - T_ALPHA) * t
    hard = cosine > (sum_of_angles * hot).sum(1, keepdim=True)
    others = torch.where(hard.detach(), cosine * (t + cosine), cosine)
  elif head in LAMBDA and epoch > epoch_start:
    largest, nearest = (phi * (1 - hot)).detach().max(1)
    beyond = largest > (cosine * hot).detach().max(1).values
    label = torch.where(beyond, nearest, label)
    hot = one_hot[label]
    penalty = torch.relu(
      (cosine * (1 - hot)).max(1).values - (phi * hot).max(1).values
    )
  logits = s * (hot * phi + (1 - hot) * others)
  loss = torch.nn.functional.cross_entropy(logits, label)
  loss = loss + LAMBDA.get(head, 0.0) * penalty.mean()
  return Outcome(loss, penalty.detach(), label, t)

"""The heads as their papers write them, in float64 PyTorch: the oracle.

One-hot products, a row at a time, gradients by autograd; nothing is shared
with bfjax. Where the literal formula has no finite derivative the convention
is: sqrt(1 - c^2) has derivative 0 at |c| = 1, and so has a clip at its ends.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

EPS = 1e-3  # AdaFace's


class Result(NamedTuple):
  loss: np.ndarray
  penalty: np.ndarray
  label: np.ndarray
  weight: np.ndarray
  target_cosine: np.ndarray
  other_cosine: np.ndarray
  correct: np.ndarray
  state: dict
  refused: int
  past: tuple | None
  embedding_gradient: np.ndarray
  centres_gradient: np.ndarray


def sine(c):
  inside = c.abs() < 1
  return torch.where(inside, torch.sqrt(torch.where(inside, 1 - c * c, 1)), 0)


def angle(c):
  inside = c.abs() < 1
  ends = math.pi * (c < 0).to(c.dtype)
  return torch.where(inside, torch.arccos(torch.where(inside, c, 0)), ends)


def clip(x, low, high):
  inside = torch.where(x > low, x, low)  # a where per end: both in float64
  return torch.where(x < high, inside, high)


def add_angle(c, m):
  straight = c * math.cos(m) - sine(c) * math.sin(m)
  beyond = c - m * math.sin(math.pi - m)
  return torch.where(c > math.cos(math.pi - m), straight, beyond)


def phi(name, o, c, norm, state):
  """The target logit, elementwise; o holds the margin's numbers."""
  if name == 'softmax':
    return c
  if name == 'cosface':
    return c - o['m']
  if name in ('arcface', 'curricularface'):
    return add_angle(c, o['m'])
  if name == 'mv_arc_softmax':
    return clip(add_angle(c, o['m']), -1, 1)
  if name == 'combined' and o['m1'] == 1:
    return add_angle(c, o['m2']) - o['m3']
  if name == 'combined':
    a = o['m1'] * angle(c) + o['m2']
    k = torch.floor(a.detach() / math.pi)
    return (-1) ** k * torch.cos(a) - 2 * k - o['m3']
  assert name == 'adaface'
  norm = norm.detach().clip(1e-3, 100)
  q = (o['h'] * (norm - state['mean']) / (state['std'] + EPS)).clip(-1, 1)
  theta = clip(angle(c) - o['m'] * q, EPS, math.pi - EPS)
  return torch.cos(theta) - (o['m'] + o['m'] * q)


def other_logits(name, o, cosine, target_cosine, state):
  """The logits [classes] of one row, as if no class were the target."""
  if name == 'mv_arc_softmax':
    threshold = clip(add_angle(target_cosine, o['m']), -1, 1).detach()
    hard = cosine.detach() >= threshold
    return clip(torch.where(hard, cosine + o['t'], cosine), -1, 1)
  if name == 'curricularface':
    s = sine(target_cosine)
    threshold = target_cosine * math.cos(o['m']) - s * math.sin(o['m'])
    hard = cosine.detach() > threshold.detach()
    return torch.where(hard, cosine * (state['t'] + cosine), cosine)
  return cosine


def cross_entropy(name, o, cosine, j, norm, state, scale):
  """That of one row, from its cosines [classes], with class j as target."""
  hot = torch.eye(len(cosine), dtype=torch.float64)[j]
  others = other_logits(name, o, cosine, cosine[j], state)
  conflicting = cosine.detach() > (o.get('filter') or math.inf)
  others = others * (~conflicting).double()
  logits = scale * (
    hot * phi(name, o, cosine[j], norm, state) + (1 - hot) * others
  )
  return torch.logsumexp(logits, 0) - logits[j]


def see_norms(name, o, norm, mask, state):
  if name != 'adaface' or not mask.any():
    return state
  norm = norm[mask].detach().clip(1e-3, 100)
  state = dict(state)
  a = o['t_alpha']
  state['mean'] = a * norm.mean() + (1 - a) * state['mean']
  if mask.sum() > 1:
    state['std'] = a * norm.std(unbiased=True) + (1 - a) * state['std']
  return state


def see_targets(name, o, target_cosine, mask, state):
  if name != 'curricularface' or not mask.any():
    return state
  a = o['t_alpha']
  mean = target_cosine[mask].detach().mean()
  return {'t': a * mean + (1 - a) * state['t']}


def best_other(label, *values):
  """The class other than `label` with the largest value.

  A tie is decided by the next of `values` if there is one, else it goes to
  the lowest class.
  """
  keys = zip(*[v.detach().tolist() for v in values], strict=True)
  ranked = [(*key, -j) for j, key in enumerate(keys) if j != label]
  return -max(ranked)[-1]


def parabola_peak(values, places):
  """The largest of the values, or the peak of the parabola about it."""
  i = int(np.argmax(values))
  if i in (0, len(values) - 1):
    return places[i]
  a, b, _ = np.polyfit(places[i - 1 : i + 2], values[i - 1 : i + 2], 2)
  return -b / (2 * a)


def posterior(cosine, given, mask, likelihood, kappas, rates):
  """(probabilities [n, classes], likelihood): Bayes' rule, all of it dense.

  The likelihood, [kappas, rates], is that of the last 6400 rows.
  """
  n, classes = cosine.shape
  rows = np.arange(n)

  def of_true(kappa):
    return torch.softmax(kappa * cosine.detach(), 1).numpy()

  def of_given(rate):
    """P(given label | true class): [n, classes]."""
    table = np.full((n, classes), rate / (classes - 1))
    table[rows, given] = 1 - rate
    return table

  new = [
    [np.log((of_true(k) * of_given(r)).sum(1))[mask].sum() for r in rates]
    for k in kappas
  ]
  likelihood = np.array(new) + (1 - mask.sum() / 6400) * likelihood
  likelihood -= likelihood.max()
  kappa = np.exp(parabola_peak(likelihood.max(1), np.log(kappas)))
  rate = parabola_peak(likelihood.max(0), rates)
  joint = of_true(kappa) * of_given(rate)
  return joint / joint.sum(1, keepdims=True), likelihood


def repface(cosine, given, mask, gap, proposed, times):
  """(soft labels [n, classes], nearest classes, state), a row at a time."""
  cosine = cosine.detach().numpy()
  # The first row has the last one's label for a wrong one.
  real = [i for i in np.flatnonzero(mask) if given[i - 1] != given[i]]
  total, rows = [float(x) * (1 - len(real) / 6400) for x in gap]
  for i in real:
    total += cosine[i].max() - cosine[i, given[i - 1]]
  rows += len(real)
  soft = np.eye(cosine.shape[1])[given]
  nearest = cosine.argmax(1)
  for i, k in enumerate(nearest):
    votes = 1 + (times[i] if proposed[i] == k else 0)
    ahead = cosine[i, k] - cosine[i, given[i]]
    share = 0.9 if ahead > total / rows / 2 else votes / (1 + votes)
    if ahead > 0:
      soft[i] *= 1 - share
      soft[i, k] += share
  return soft, nearest, {'gap': total, 'rows': rows}


def unit(x):
  """Rows of length 1; a zero row stays zero, without a gradient."""
  square = (x * x).sum(1, keepdim=True)
  norm = torch.sqrt(torch.where(square > 0, square, 1))
  return torch.where(square > 0, x / norm, 0), norm[:, 0]


def head(
  name,
  options,
  rule,
  penalty,
  embedding,
  centres,
  label,
  mask,
  state,
  *,
  scale,
  correcting,
  penalty_weight,
  grid=(),
  kept=0.0,
  sub_centres=None,
  dropping=False,
  past=None,
):
  """All a head returns, and the gradients of its masked mean objective."""
  embedding = torch.tensor(np.float64(embedding), requires_grad=True)
  centres = torch.tensor(np.float64(centres), requires_grad=True)
  mask = torch.tensor(mask)
  rule_state, use = state['rule'], state['sub_centre_use']
  class_rows, refused = state['class_rows'], 0
  state = {
    k: torch.tensor(float(v)).double() for k, v in state['margin'].items()
  }
  e, norm = unit(embedding)
  w, _ = unit(centres)
  cosine = (e @ w.T).clamp(-1, 1)
  if sub_centres:
    use = np.array(use).reshape(-1, sub_centres.count)
    each = cosine.reshape(len(e), *use.shape)
    minor = np.arange(sub_centres.count) != use.argmax(1)[:, None]
    hidden = torch.where(torch.tensor(minor & dropping), -2.0, each)
    cosine = hidden.max(2).values
  n, classes = cosine.shape
  state = see_norms(name, options, norm, mask, state)
  one_hot = torch.eye(classes, dtype=torch.float64)
  used, weight = np.array(label), np.ones(n)
  soft = None
  if rule == 'posterior':
    q, likelihood = posterior(
      cosine, label, mask.numpy(), rule_state['likelihood'], *grid
    )
    rule_state = {'likelihood': likelihood}
    if correcting:
      used = np.where(q.max(1) > 0.5, q.argmax(1), label)
      weight = np.maximum(2 * q.max(1) - 1, 0)
  if rule == 'repface':
    gap = rule_state['gap'], rule_state['rows']
    soft, nearest, rule_state = repface(
      cosine, label, mask.numpy(), gap, past.proposed, past.times
    )
    times = np.where(past.proposed == nearest, past.times + 1, 1)
    past = past._replace(label=nearest, proposed=nearest, times=times)
    if correcting:
      used = np.where(soft.max(1) > 0.5, soft.argmax(1), label)
    else:
      soft = None
  if rule in ('posterior', 'repface'):
    for i in np.flatnonzero(used != label):
      given_as, trained_as = np.transpose(class_rows)
      swells = trained_as[used[i]] > 2 * given_as[used[i]] + 2
      if swells or trained_as[label[i]] < given_as[label[i]] / 4:
        used[i], weight[i], refused = label[i], 0, refused + 1
    class_rows = kept * np.array(class_rows)
    for i in np.flatnonzero(mask):
      class_rows[label[i], 0] += 1
      class_rows[used[i], 1] += 1
  correct = np.zeros(n, bool)
  for i in range(n):
    k = best_other(label[i], cosine[i])
    correct[i] = cosine[i, label[i]] > cosine[i, k]
    if rule == 'boundary' and correcting:
      all_phi = phi(name, options, cosine[i], norm[i], state)
      k = best_other(label[i], all_phi, cosine[i])
      a = (all_phi * one_hot[k]).max().clamp(min=0)
      if a > (cosine[i] * one_hot[label[i]]).max().clamp(min=0):
        used[i] = k
  target_cosine = (cosine * one_hot[used]).sum(1)
  state = see_targets(name, options, target_cosine, mask, state)
  if sub_centres:
    use = kept * use
    for i in np.flatnonzero(mask):
      own = hidden[i, used[i]].detach()
      use[used[i], own.argmax()] += 1
    far = target_cosine.detach().numpy() < math.cos(sub_centres.drop_angle)
    weight = weight * ~(far & dropping)
    use = use.ravel()
  target_phi = phi(name, options, target_cosine, norm, state)
  loss, extra, other_cosine = [], [], []
  for i in range(n):
    shares = one_hot[used[i]].numpy() if soft is None else soft[i]
    of_class = [
      share * cross_entropy(name, options, cosine[i], j, norm[i], state, scale)
      for j, share in enumerate(shares)
      if share
    ]
    loss.append(sum(of_class))
    k = best_other(used[i], cosine[i])
    other_cosine.append(cosine[i, k].item())
    gap = torch.relu(cosine[i, k]) - torch.relu(target_phi[i])
    extra.append(torch.relu(gap) * (penalty == 'boundary'))
  loss, extra = torch.stack(loss), torch.stack(extra)
  total = torch.tensor(weight) * (loss + penalty_weight * extra)
  (total * mask).sum().div(n).backward()
  return Result(
    loss.detach().numpy(),
    extra.detach().numpy(),
    used,
    weight,
    target_cosine.detach().numpy(),
    np.array(other_cosine),
    correct,
    {
      'margin': {k: float(v) for k, v in state.items()},
      'rule': rule_state,
      'class_rows': class_rows,
      'sub_centre_use': use,
    },
    refused,
    past,
    embedding.grad.numpy(),
    centres.grad.numpy(),
  )

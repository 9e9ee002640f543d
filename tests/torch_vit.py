"""InsightFace's arcface_torch ViT in PyTorch, apart from ours: an oracle.

Modules are named as there, so that the state dicts have the keys of its files;
sizes can be smaller. Without dropping and masking.
"""

import torch
from torch import nn


class Attention(nn.Module):
  def __init__(self, dim, heads):
    super().__init__()
    self.heads = heads
    self.qkv = nn.Linear(dim, 3 * dim, bias=False)
    self.proj = nn.Linear(dim, dim)

  def forward(self, x):
    # The linear layer's outputs are queries, keys, values; in each, heads.
    q, k, v = (
      part.unflatten(2, (self.heads, -1)).transpose(1, 2)
      for part in self.qkv(x).chunk(3, dim=2)
    )
    mixed = nn.functional.scaled_dot_product_attention(q, k, v)
    return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
  def __init__(self, dim):
    super().__init__()
    self.fc1 = nn.Linear(dim, 4 * dim)
    self.fc2 = nn.Linear(4 * dim, dim)

  def forward(self, x):
    return self.fc2(self.fc1(x).clamp(0, 6))


class Block(nn.Module):
  def __init__(self, dim, heads):
    super().__init__()
    self.norm1 = nn.LayerNorm(dim)
    self.attn = Attention(dim, heads)
    self.norm2 = nn.LayerNorm(dim)
    self.mlp = Mlp(dim)

  def forward(self, x):
    x = x + self.attn(self.norm1(x))
    return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
  def __init__(self, dim, patch_size):
    super().__init__()
    self.proj = nn.Conv2d(3, dim, patch_size, patch_size)

  def forward(self, x):
    return self.proj(x).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
  """vit_t: 256, 12 blocks; vit_s: 512, 12; vit_b: 512, 24; vit_l: 768, 24."""

  def __init__(
    self,
    dim=256,
    depth=12,
    heads=8,
    patch_size=9,
    image_size=112,
    num_features=512,
  ):
    super().__init__()
    patches = (image_size // patch_size) ** 2
    self.patch_embed = PatchEmbed(dim, patch_size)
    self.pos_embed = nn.Parameter(0.02 * torch.randn(1, patches, dim))
    self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
    self.blocks = nn.ModuleList([Block(dim, heads) for _ in range(depth)])
    self.norm = nn.LayerNorm(dim)
    self.feature = nn.Sequential(
      nn.Linear(dim * patches, dim, bias=False),
      nn.BatchNorm1d(dim, eps=2e-5),
      nn.Linear(dim, num_features, bias=False),
      nn.BatchNorm1d(num_features, eps=2e-5),
    )

  def forward(self, x):
    x = self.patch_embed(x) + self.pos_embed
    for block in self.blocks:
      x = block(x)
    return self.feature(self.norm(x).flatten(1))

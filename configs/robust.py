"""Ours: any other recipe, with the rule that learns the noise from the labels.

Command:
  python -m bfjax.main --config=configs/robust.py:casia_noisy.py:closed20 \
    --workdir=DIR --config.data.root=IMAGES --config.data.list=LIST ...
  python -m bfjax.main --config=configs/robust.py:small.py:7500 \
    --workdir=DIR ...

The argument is a config of this folder, with an argument of its own if it
takes one: small.py:NUMBER_OF_IMAGES, casia.py, casia_noisy.py:MIX (the
default), ms1m.py, ms1mv2.py, synthetic.py:SEED. All is as that has it but the
rule, which is `posterior` instead of `boundary`. It asks for no number: the
noise rate and the margin it asks for are learned from the given labels, and
told in metrics.jsonl (`rule/noise_rate`, `rule/rule_margin`). docs/study.md
derives it, and has what it gains and where it does not.

Hardware: as the other config says.
To expect: of CASIA and MS1M nothing was trained by us yet; of the built-in
  faces see docs/study.md.
"""

import pathlib

import ml_collections

from bfjax import configfile


def get_config(of: str = 'casia_noisy.py') -> ml_collections.ConfigDict:
  """The config; the argument is told above."""
  c = configfile.load(f'{pathlib.Path(__file__).parent}/{of}')
  c.head.rule = 'posterior'
  c.compare = ml_collections.ConfigDict()
  return c

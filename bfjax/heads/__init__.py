"""What is between cosines and a loss: margins, rules, penalties, softmax.

`make` gives all of it as two functions to a training loop of one's own.
"""

from bfjax.heads.functions import make

__all__ = ['make']

"""All that is wrong with classes as a whole, told from embeddings.

Every claim is checked against what the set itself says is usual: the cosines of
different people for two classes that are one (`twice`), the halves of all other
classes for a class of two people (`mixed`), how other classes hold together for
one of nobody (`junk`), and the images of one person for an image in two classes
(`shared`).
"""

import numpy as np

from bfjax.cleaning import junk, means, mixed, shared, twice
from bfjax.cleaning.findings import Finding


def find(
  features,
  given: np.ndarray,
  proposed: np.ndarray,
  num_classes: int,
  *,
  read=None,
  progress: bool = True,
) -> list[Finding]:
  """Finds all of it.

  Args:
    features: [n, d], float32 or float16, memory-mapped or not.
    given: int32 [n], labels as given, 0 .. num_classes - 1.
    proposed: int32 [n], labels after the second look, -1 for rows of nobody.
    num_classes: how many.
    read: rows -> encoded images, as `labelled.Images` have it, to tell the same
      file from the nearly same image; None to leave that open.
    progress: whether to show bars.

  Returns:
    the findings, kind by kind, the surest first.
  """

  def bar(title):
    return title if progress else ''

  of_given = means.of_classes(
    features, given, num_classes, bar('Means of the given classes')
  )
  of_proposed = means.of_classes(
    features, proposed, num_classes, bar('Means of the new classes')
  )
  by_class = means.ByClass(proposed, num_classes)
  return [
    *twice.find(features, by_class, of_proposed, bar('Classes alike')),
    *mixed.find(features, by_class, of_proposed, bar('Two people in a class')),
    *junk.find(means.ByClass(given, num_classes), of_given, of_proposed),
    *shared.find(
      features, given, by_class, read=read, progress=bar('Shared images')
    ),
  ]

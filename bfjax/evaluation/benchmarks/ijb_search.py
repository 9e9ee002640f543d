"""IJB-B and IJB-C 1:N: who in the gallery is this set of images of?

`parts.ijb_images` has the layout of the folder; people are in

    root/meta/ijbc_1N_gallery_G1.csv, ijbc_1N_gallery_G2.csv
    root/meta/ijbc_1N_probe_mixed.csv

(of IJB-B S1 and S2), see `parts.ijb_lists`. `parts.people_search` has the
formulas.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np

from bfjax import errors
from bfjax.evaluation.benchmarks.parts import (
  ijb_images,
  ijb_lists,
  people_search,
)
from bfjax.evaluation.protocols import explanations
from bfjax.report import results
from bfjax.text import printable

_GALLERIES = {'IJBB': ('S1', 'S2'), 'IJBC': ('G1', 'G2')}
_MAX_RANK = 50  # that the curve goes to
_HARDEST = 8


@dataclasses.dataclass(frozen=True)
class TemplateSearch:
  """Rank-N and TPIR at FPIR of probes in galleries.

  Probes and, by name, galleries are templates by their numbers in `images`.
  """

  images: ijb_images.Images
  galleries: Mapping[str, people_search.People]
  probes: people_search.People  # that are searched for in each
  ranks: Sequence[int]
  fpirs: Sequence[float]  # () for no open set
  files = property(lambda self: self.images.files)
  pictures = property(lambda self: self.images.pictures)

  @property
  def _names(self) -> tuple[str, ...]:
    return (
      *(f'rank-{rank}' for rank in self.ranks),
      *(f'tpir@fpir={fpir:g}' for fpir in self.fpirs),
    )

  @property
  def headline(self) -> tuple[str, ...]:
    """The scores that tables show."""
    return tuple(f'mean/{score}' for score in self._names)

  @property
  def protocol(self) -> str:
    """The protocol and its flags, in words."""
    sizes = ' and '.join(
      f'{key} ({len(x.numbers)} templates, '
      f'{np.isin(self.probes.people, x.people).sum()} mated probes)'
      for key, x in self.galleries.items()
    )
    return (
      f'{self.images.name} 1:N identification, {len(self.probes.numbers)} '
      f'probes in {sizes}; {self.images.describe()}; rank-N: share of mated '
      'probes, others that score as much as the mate count as better; '
      'tpir@fpir=x: at the least threshold with FPIR <= x, rank 1 and above '
      'it; mean: of the galleries'
    )

  def evaluate(self, features: np.ndarray | None) -> Mapping[str, float]:
    """Pools the templates and searches all galleries for all probes.

    See `benchmarks.Benchmark.evaluate`.

    Returns:
      'G1/rank-1', 'G1/tpir@fpir=0.01' and so on for each gallery, and the
      same of 'mean', over the galleries; fractions.
    """
    return self.analyse(features).scores

  def analyse(self, features: np.ndarray | None) -> results.Analysis:
    """The same, with curves, histograms and the probes found worst."""
    unit = self.images.pool(features)
    max_rank = max([*self.ranks, _MAX_RANK])
    found, curves, histograms, examples = {}, {}, {}, []
    for key, gallery in self.galleries.items():
      one = found[key] = people_search.search_people(
        unit[self.probes.numbers],
        unit[gallery.numbers],
        self.probes,
        gallery,
        max_rank,
        ties_found=False,
      )
      ranks = min(max_rank, len(gallery.numbers))
      title = f'{self.images.name} 1:N, {key}'
      curves[f'CMC, {title}'] = people_search.cmc_curve(one.ranks, ranks)
      if len(one.others):
        curves[f'open set, {title}'] = one.open_set()
        histograms[f'scores, {title}'] = explanations.histogram(
          {
            'mate': one.nearest.mate_score,
            'highest of a non-mated probe': one.others,
          },
          'cosine',
        )
      if self.pictures:
        hardest = people_search.examples(
          one.nearest, self.images.picture_of, _HARDEST
        )
        examples += [x._replace(caption=f'{key}: {x.caption}') for x in hardest]
    outcomes = self._outcomes(found)
    return results.Analysis(
      {key: x.score() for key, x in outcomes.items()},
      curves,
      histograms,
      tuple(examples),
      outcomes,
    )

  def _outcomes(self, found) -> dict[str, results.Outcomes]:
    """'<gallery>/<score>' -> the outcomes whose mean it is."""
    outcomes = {}
    for key, one in found.items():
      right = [one.ranks <= rank for rank in self.ranks]
      right += [one.identified(one.threshold(fpir)) for fpir in self.fpirs]
      for score, values in zip(self._names, right, strict=True):
        outcomes[f'{key}/{score}'] = results.outcomes(values)
    for score in self._names:
      parts = [outcomes[f'{key}/{score}'].values for key in found]
      strata = np.repeat(np.arange(len(parts)), [len(x) for x in parts])
      outcomes[f'mean/{score}'] = results.Outcomes(
        np.concatenate(parts), strata, len(parts)
      )
    return outcomes


def build(
  *,
  ranks: Sequence[int] = (1, 5, 10),
  fpirs: Sequence[float] = (0.01, 0.1),
  galleries: Sequence[str] = (),
  gallery_lists: Sequence[str] = (),
  probe_list: str = '',
  **images: Unpack[ijb_images.Options],  # type: ignore[misc]
) -> TemplateSearch:
  """Reads the lists and looks the images, or their features, up.

  Args:
    ranks: the N of rank-N.
    fpirs: false positive identification rates; () for no open set.
    galleries: names of the galleries; () for the usual ones.
    gallery_lists: those of the galleries, one each; () for the usual ones.
    probe_list: that of the probes; '' for the usual one.
    **images: see `ijb_images.Options`; `root` is needed.

  Raises:
    Absent: if there is no list of templates and media.
    UserError: if a flag has no such value, a list is missing or cannot be
      understood, lists do not fit each other, images or features are missing,
      or a gallery has no mated probe, or no other. Lists are named with the
      line.
  """
  for rank in ranks:
    if rank < 1:
      raise errors.UserError(f'Ranks are 1 or more, not {rank}.')
  for fpir in fpirs:
    if not 0 <= fpir <= 1:
      raise errors.UserError(f'FPIR is from 0 to 1, not {fpir}.')
  options = ijb_images.Options(**images)
  found = ijb_images.Images(options)
  galleries = tuple(galleries) or _GALLERIES[options.name]
  gallery_lists = tuple(gallery_lists) or ('',) * len(galleries)
  if len(gallery_lists) != len(galleries):
    raise errors.UserError(
      f'{len(galleries)} galleries ({", ".join(galleries)}), but '
      f'{len(gallery_lists)} gallery_lists: give one each.'
    )

  def people(path):
    ids, subjects, lines = ijb_lists.read_people(path)
    return people_search.People(found.find(path, ids, lines), subjects)

  searched = {
    key: people(options.in_meta(given, f'1N_gallery_{key}.csv'))
    for key, given in zip(galleries, gallery_lists, strict=True)
  }
  path = options.in_meta(probe_list, '1N_probe_mixed.csv')
  probes = people(path)
  for key, gallery in searched.items():
    mated = np.isin(probes.people, gallery.people)
    if not mated.any():
      raise errors.UserError(
        f'{printable(path)}: no probe is of a person in the gallery {key}: its '
        'ranks are undefined. Are gallery and probes of one data set?'
      )
    if fpirs and mated.all():
      raise errors.UserError(
        f'{printable(path)}: every probe is of a person in the gallery {key}: '
        'there is no false positive identification rate. Give fpirs=() for '
        'ranks alone.'
      )
  return TemplateSearch(found, searched, probes, ranks, fpirs)

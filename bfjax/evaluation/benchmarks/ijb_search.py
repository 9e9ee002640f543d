"""IJB-B and IJB-C 1:N: who in the gallery is this set of images of?

`ijb_images` in `bfjax.evaluation.benchmarks.parts` has the layout of the
folder; people are in

    root/meta/ijbc_1N_gallery_G1.csv, ijbc_1N_gallery_G2.csv
    root/meta/ijbc_1N_probe_mixed.csv

(of IJB-B S1 and S2), see `bfjax.evaluation.benchmarks.parts.ijb_subjects`.
`bfjax.evaluation.benchmarks.parts.template_search` has the formulas.
"""

from collections.abc import Sequence

from bfjax import errors
from bfjax.evaluation.benchmarks.parts import (
  ijb_images,
  ijb_subjects,
  template_search,
)
from bfjax.evaluation.protocols import templates
from bfjax.text import printable

_GALLERIES = {'IJBB': ('S1', 'S2'), 'IJBC': ('G1', 'G2')}


def build(
  *,
  root: str,
  name: str = 'IJBC',
  images: str = 'loose_crop',
  features: str = '',
  aligned: bool = False,
  flip: str = 'sum',
  norm: str = 'kept',
  detector: str = 'weighted',
  image_size: int = 112,
  ranks: Sequence[int] = (1, 5, 10),
  fpirs: Sequence[float] = (0.01, 0.1),
  galleries: Sequence[str] = (),
  media_list: str = '',
  landmark_list: str = '',
  gallery_lists: Sequence[str] = (),
  probe_list: str = '',
) -> template_search.TemplateSearch:
  """Reads the lists and looks the images, or their features, up.

  Args:
    root: the folder that all other paths are relative to.
    name: 'IJBB' or 'IJBC', which the lists are called after.
    images: as in `ijb.build`, and so are all options up to `image_size`.
    features: saved features instead of images.
    aligned: whether the images are aligned crops already.
    flip: 'sum' or 'none'.
    norm: 'kept' or 'removed'.
    detector: 'weighted' or 'ignored'.
    image_size: pixels of a side of the aligned crops.
    ranks: the N of rank-N.
    fpirs: false positive identification rates; () for no open set.
    galleries: names of the galleries; () for the usual ones.
    media_list: the list of templates and media; '' for the usual one.
    landmark_list: that of landmarks and detector scores; likewise.
    gallery_lists: those of the galleries, one each; () for the usual ones.
    probe_list: that of the probes; '' for the usual one.

  Raises:
    Absent: if there is no list of templates and media.
    UserError: if a flag has no such value, a list is missing or cannot be
      understood, lists do not fit each other, images or features are missing,
      or a gallery has no mated probe, or no other. Lists are named with the
      line.
  """
  found = ijb_images.open_images(
    root=root,
    name=name,
    images=images,
    features=features,
    aligned=aligned,
    pooling=templates.Pooling(flip, norm, detector),
    image_size=image_size,
    media_list=media_list,
    landmark_list=landmark_list,
  )
  short = name.lower()
  galleries = tuple(galleries) or _GALLERIES[name]
  gallery_lists = tuple(gallery_lists) or ('',) * len(galleries)
  if len(gallery_lists) != len(galleries):
    raise errors.UserError(
      f'{len(galleries)} galleries ({", ".join(galleries)}), but '
      f'{len(gallery_lists)} gallery_lists: give one each.'
    )
  people = {
    key: _people(
      found, ijb_images.in_meta(root, given, f'{short}_1N_gallery_{key}.csv')
    )
    for key, given in zip(galleries, gallery_lists, strict=True)
  }
  path = ijb_images.in_meta(root, probe_list, f'{short}_1N_probe_mixed.csv')
  probes = _people(found, path)
  try:
    return template_search.TemplateSearch(
      ijb_images.NAMES[name], found, people, probes, ranks, fpirs
    )
  except errors.UserError as error:
    raise errors.UserError(f'{printable(path)}: {error}') from error


def _people(found: ijb_images.Images, path: str) -> template_search.People:
  ids, subjects, lines = ijb_subjects.read(path)
  return template_search.People(found.find(path, ids, lines), subjects)

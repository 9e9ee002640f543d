"""Finds the faces in photos and writes them as aligned crops, 112 x 112.

    bfjax align PHOTOS --out aligned
    bfjax align PHOTOS --out aligned --detector yunet.onnx

PHOTOS is a folder of photos at any depth; with a folder for each person the
crops are a data set that bfjax trains on. Of each photo the main face is taken:
the largest near the middle. Five landmarks are brought to where InsightFace's
crops have them.

The detector is MTCNN, with its weights in the Python package
(pip install 'bfjax[align]'), or YuNet, many times as fast, from a file that you
name: OpenCV's pip package has none; face_detection_yunet_2023mar.onnx is in the
OpenCV Zoo.

--out gets crops/, faces.tsv (score, box, landmarks), not_found.tsv (photos
without a face, and why) and, with a folder for each person, train.txt. A killed
command is started again and goes on.
"""

import argparse
import itertools
import pathlib

from bfjax import command, errors

_SHOWN = 5


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  add = parser.add_argument
  add('photos', help='the folder')
  add('--out', required=True, type=pathlib.Path, help='a new folder')
  add('--detector', default='', help='a file of YuNet (MTCNN)')
  add('--min-score', type=float, default=0.9, help='of a face (0.9)')
  add('--size', type=int, default=112, help='pixels of a side (112)')
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Aligns, and says what to do with the crops.

  Raises:
    UserError: if an argument is wrong, or folders cannot be read or written.
  """
  # TensorFlow is slow to load.
  from bfjax.datasets.alignment import aligning, detectors

  if not 0 < arguments.min_score < 1:
    raise errors.UserError(
      f'--min-score is between 0 and 1, not {arguments.min_score}.'
    )
  if arguments.size < 16:
    raise errors.UserError(f'--size is at least 16, not {arguments.size}.')
  detect = detectors.build(arguments.detector, arguments.min_score)
  out = arguments.out
  found = aligning.align(arguments.photos, out, detect, arguments.size)
  print(
    f'{found.num_found} crops of {found.num_found + found.num_not_found} photos'
    f' in {out / aligning.CROPS}; {found.num_several} photos show more faces'
    ' than the one taken.'
  )
  if found.num_not_found:
    lines = itertools.islice(aligning.reasons(out), _SHOWN)
    print(f'{found.num_not_found} have none, see {out / aligning.NOT_FOUND}:')
    print('\n'.join(f'  {line}' for line in lines))
  if found.num_classes > 1:
    print(
      f'{found.num_classes} people. What to train with:\n'
      f'  python tools/info.py --root {out} {out / aligning.LIST}'
    )

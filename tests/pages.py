"""Workdirs to make pages of, full of strangers' names; pages taken apart."""

import html.parser
import json

import cv2
import numpy as np

from bfjax.data import labelled
from bfjax.logbook import density

# What names of files and classes may be.
NAUGHTY = (
  '<script>alert(1)</script>',
  '"onerror="alert(2)',
  "'&amp;{{ 7 * 7 }}",
  'a\u202eb\u05d0',
  'caf\udce9',
  'x</style></script>',
)
ROWS, CLASSES = 120, 6
CORRECTED = np.arange(0, ROWS, 5)


class Images:
  """Files in memory, of one colour a row; row 7 cannot be read."""

  num_rows = ROWS

  def name(self, row):
    return f'{NAUGHTY[row // 20]}/{row}\t.jpg'

  def read(self, rows):
    image = np.full((140, 120, 3), 90, np.uint8)
    return [
      b'no image'
      if row == 7
      else cv2.imencode('.jpg', np.uint8(image + row))[1].tobytes()
      for row in rows
    ]


def make_source(true=True):
  """Six people with twenty images each; every fifth has another's label."""
  right = np.repeat(np.arange(CLASSES, dtype=np.int32), 20)
  given = right.copy()
  given[CORRECTED] = (given[CORRECTED] + 1) % CLASSES
  return labelled.Source(Images(), given, right if true else None, NAUGHTY)


def write_run(workdir, source, epochs=3):
  """What a run leaves that is on its page."""
  config = {
    **{'batch': 12, 'accumulate': 1, 'seed': 1},
    'head': {'margin': 'arcface', 'rule': 'boundary', 'm': 0.5},
  }
  (workdir / 'config.json').write_text(json.dumps(config))
  lines = []
  for epoch in range(1, epochs + 1):
    told = {'train/loss': 9.0 / epoch, 'train/lr': 0.1**epoch}
    told |= {'train/corrected': 0.2, 'train/accuracy': 0.8, 'train/unsure': 0.0}
    lines.append({'step': 10 * epoch, 'images_per_sec': 50.0, **told})
    scores = {'corrections/share': 0.2, 'lfw/boundaryface/accuracy': 0.9}
    lines.append({'step': 10 * epoch, 'eval/secs': 1.0, **scores})
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (workdir / 'metrics.jsonl').write_text(text)
  for epoch in range(1, epochs + 1):
    path = workdir / 'corrections' / f'epoch_{epoch:03}.npz'
    density.write(path, cosines(epoch))
  write_log(workdir / 'corrections' / f'epoch_{epochs:03}.tsv', source)


def cosines(epoch):
  """What the density of an epoch holds, of rows in two places."""
  edges = np.linspace(-1, 1, 81, dtype=np.float32)
  kept, corrected = np.zeros((2, 80, 80), np.uint32)
  kept[70 + epoch, 45] = ROWS - len(CORRECTED)
  corrected[45, 70 + epoch] = len(CORRECTED)
  return {
    **{'edges': edges, 'kept': kept, 'corrected': corrected},
    **{'phi': edges - 0.3, 'boundary': edges - 0.4, 'correcting': epoch > 1},
    **{'margin': 'arcface', 'rule': 'boundary', 'm': np.float32(0.5)},
    **{'rule_margin': np.float32('nan'), 'epoch': np.int32(epoch)},
  }


def write_log(path, source, with_history=True):
  """A correction log that sets all rows right."""
  columns = ['row', 'path', 'given_label', 'new_label']
  if with_history:
    columns += ['given_cosine', 'new_cosine', 'since_epoch', 'visits']
  lines = ['\t'.join(columns)]
  names = source.class_names
  for row in CORRECTED:
    given = source.labels[row]
    fields = [row, source.name(row), names[given], names[given - 1]]
    if with_history:
      fields += [f'{row / 1000:.4f}', '0.5000', 1 + row % 3, 2]
    lines.append('\t'.join(map(str, fields)))
  text = '\n'.join(lines) + '\n'
  path.write_text(text, encoding='utf-8', errors='surrogateescape')


class Page(html.parser.HTMLParser):
  """Checks that tags are closed, and gathers what there is."""

  VOID = ('meta', 'img', 'br', 'link', 'input')

  def __init__(self):
    super().__init__()
    self.open, self.tags, self.sources, self.text = [], [], [], ''
    self.attributes = []

  def handle_starttag(self, tag, attributes):
    self.tags.append(tag)
    self.attributes += attributes
    self.sources += [v for k, v in attributes if k in ('src', 'href')]
    if tag not in self.VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attributes):
    self.handle_starttag(tag, attributes)
    if tag not in self.VOID:
      self.open.pop()

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ('style', 'script'):
      self.text += data


def parse(path):
  page = Page()
  page.feed(path.read_text())
  page.close()
  assert not page.open
  return page

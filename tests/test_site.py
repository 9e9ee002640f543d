"""The site has every page, and every public name."""

import pathlib
import re

import yaml

import bfjax

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / 'docs'


def pages(entries):
  for entry in entries:
    if isinstance(entry, dict):
      for below in entry.values():
        yield from pages(below)
    else:
      yield entry


def test_every_page_is_reached():
  nav = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())['nav']
  there = {str(x.relative_to(DOCS)) for x in DOCS.rglob('*.md')}
  assert {*pages(nav)} == there


def test_every_public_name_is_on_its_page_and_told():
  named = re.findall(
    r'^::: bfjax\.([\w.]+)$', (DOCS / 'api.md').read_text(), re.M
  )
  parts = {part for name in named for part in name.split('.')}
  for name in bfjax.__all__:
    if name != '__version__':
      assert name in parts
      assert getattr(bfjax, name).__doc__

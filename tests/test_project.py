"""What is said in several places about the project is the same."""

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[1]


def text(name):
  return (ROOT / name).read_text()


def found(pattern, name):
  """What the one group of a pattern matches in a file."""
  return re.search(pattern, text(name), re.MULTILINE)[1]


def pinned(package):
  return found(rf'^{package}==([\w.]+)$', 'constraints.txt')


def supported_pythons():
  low, high = re.search(r'>=3\.(\d+),<3\.(\d+)', text('setup.py')).groups()
  return [f'3.{minor}' for minor in range(int(low), int(high))]


def test_the_version_is_one():
  version = found(r"version='([\d.]+)'", 'setup.py')
  assert yaml.safe_load(text('CITATION.cff'))['version'] == version
  assert f'\n## {version}\n' in text('CHANGELOG.md')
  assert found(r"^__version__ = '([\d.]+)'", 'bfjax/__init__.py') == version


def test_every_python_that_is_supported_is_tested():
  jobs = yaml.safe_load(text('.github/workflows/tests.yml'))['jobs']
  pythons = supported_pythons()
  assert jobs['pinned']['strategy']['matrix']['python'] == pythons
  assert {*jobs['jax']['strategy']['matrix']['python']} <= {*pythons}


def test_the_workflow_finds_the_lowest_jax():
  """By the same pattern as its `sed`."""
  assert re.search(r"^ *'(jax>=[0-9.]*)", text('setup.py'), re.MULTILINE)


def test_the_hooks_are_those_of_the_constraints():
  hooks = yaml.safe_load(text('.pre-commit-config.yaml'))['repos']
  [ruff] = [x['rev'] for x in hooks if 'ruff' in x['repo']]
  assert ruff == f'v{pinned("ruff")}'


def test_the_image_is_built_of_what_there_is():
  lines = re.sub(r'\\\n', ' ', text('Dockerfile')).splitlines()
  copied = [
    name
    for line in lines
    if line.startswith('COPY')
    for name in line.split()[1:-1]
  ]
  ignored = text('.dockerignore').split()
  assert {'constraints.txt', 'setup.py', 'bfjax', 'configs'} <= {*copied}
  for name in copied:
    assert (ROOT / name).exists()
    assert name not in ignored


def test_the_image_installs_what_is_pinned():
  [installs] = re.findall(r'pip install ([^&\n]*)', text('Dockerfile'))
  assert '--constraint constraints.txt' in installs
  extra = re.search(r"'\.\[(\w+)\]'", installs)[1]
  assert f"'{extra}': [" in text('setup.py')
  assert found(r'^FROM python:([\d.]+)', 'Dockerfile') in supported_pythons()


@pytest.mark.parametrize('name', ['bug.yml', 'wish.yml'])
def test_an_issue_template_is_a_form(name):
  form = yaml.safe_load(text(f'.github/ISSUE_TEMPLATE/{name}'))
  assert {'name', 'description', 'body'} <= {*form}

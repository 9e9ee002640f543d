"""The notebooks of examples/ run, and their outputs are those of now."""

import pathlib

import nbclient
import nbformat
import pytest

pytestmark = pytest.mark.slow
FOLDER = pathlib.Path(__file__).parents[1] / 'examples'


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.filterwarnings('ignore::ResourceWarning')
@pytest.mark.parametrize('name', sorted(x.name for x in FOLDER.glob('*.ipynb')))
def test_a_notebook_runs(name, monkeypatch):
  monkeypatch.setenv('PYTHONPATH', str(FOLDER.parent))
  monkeypatch.delenv('XLA_FLAGS', raising=False)  # one device, as a user has
  notebook = nbformat.read(FOLDER / name, as_version=4)
  told = [bool(cell.get('outputs')) for cell in notebook.cells]
  nbclient.NotebookClient(notebook, timeout=600).execute()
  assert [bool(cell.get('outputs')) for cell in notebook.cells] == told

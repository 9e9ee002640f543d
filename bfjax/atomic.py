"""Files and folders complete or not there: written aside, then renamed."""

import contextlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives the name to write to; on leaving, what is there becomes `path`.

  The name is one of its own, so several writers do not meet. If the body
  raises, the draft is removed and `path` stays as it was.
  """
  path = pathlib.Path(path)
  draft = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
  try:
    yield draft
    os.replace(draft, path)
  except BaseException:
    if draft.is_dir():
      shutil.rmtree(draft, ignore_errors=True)
    else:
      draft.unlink(missing_ok=True)
    raise


@contextlib.contextmanager
def writing_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a new folder to write to; on leaving, it becomes `path`.

  `path` must not be there or be an empty folder; the folders above it are
  made. If the body raises, the draft is removed and nothing is there.
  """
  pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  with writing(path) as draft:
    draft.mkdir()
    yield draft


def write_text(path: str | os.PathLike, text: str) -> None:
  """Makes `text`, in UTF-8, the content of a file."""
  with writing(path) as draft:
    draft.write_text(text, encoding='utf-8')

"""Files that are complete or not there: written aside, then renamed."""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives the name to write to; on leaving, the file becomes `path`.

  The name is one of its own, so several writers do not meet. If the body
  raises, the draft is removed and `path` stays as it was.
  """
  path = pathlib.Path(path)
  draft = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
  try:
    yield draft
    os.replace(draft, path)
  except BaseException:
    draft.unlink(missing_ok=True)
    raise


def write_text(path: str | os.PathLike, text: str) -> None:
  """Makes `text`, in UTF-8, the content of a file."""
  with writing(path) as draft:
    draft.write_text(text, encoding='utf-8')

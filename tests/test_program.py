"""The program `bfjax`: its commands, quick to start, and their completion."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from bfjax import plugins, program

ROOT = pathlib.Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT), 'COLUMNS': '80'}
HEAVY = 'flax jax matplotlib orbax tensorflow torch'
# The command, which says at its end what of these it has imported.
RUN = f"""
import sys
from bfjax import __main__
sys.argv = ['bfjax', *sys.argv[1:]]
try:
  __main__.main()
finally:
  print('imported:', *sorted(set('{HEAVY}'.split()) & set(sys.modules)))
"""


def run(*words):
  return subprocess.run(
    [sys.executable, '-c', RUN, *words],
    cwd=ROOT,
    env=ENVIRONMENT,
    capture_output=True,
    text=True,
    check=False,
  )


def test_help_lists_the_tasks_and_loads_nothing_heavy():
  done = run('--help')
  assert done.returncode == 0, done.stderr
  for name in ('train', 'eval', 'info', 'pack', 'embed', 'convert', 'report'):
    assert f'\n    {name} ' in done.stdout
  assert done.stdout.endswith('\nimported:\n')
  assert run().stdout == done.stdout


@pytest.mark.parametrize('name', program.summaries())
def test_every_command_tells_its_options_before_it_loads_jax(name):
  done = run(name, '--help')
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith(f'usage: bfjax {name} ')
  assert done.stdout.endswith('\nimported:\n')


def test_a_mistyped_command_names_the_nearest():
  done = run('pakc', '--root', 'x')
  assert done.returncode == 2
  assert done.stderr.startswith("bfjax: No command called 'pakc'. There are: ")
  assert done.stderr.endswith(" Did you mean 'pack'?\n")


def test_messages_begin_with_the_command(tmp_path):
  done = run('info', str(tmp_path / 'none'))
  assert done.returncode == 2
  assert done.stderr.startswith('bfjax info: There is nothing at ')


def test_train_and_eval_take_the_flags_of_a_config(tmp_path):
  given = f'--workdir={tmp_path}', f'--config={ROOT}/configs/synthetic.py'
  done = run('eval', *given, '--config.head.mm=1')
  assert done.returncode == 2
  assert done.stderr.startswith("bfjax eval: config.head has no key 'mm'.")
  done = run('eval', *given, '--mode=train')
  assert "Unknown command line flag 'mode'" in done.stderr
  done = run('eval', f'--workdir={tmp_path}/none', given[1])
  assert 'takes the workdir of a run or a model folder' in done.stderr
  # Flags alone are `bfjax.main`, as ever.
  done = run(*given, '--config.head.mm=1')
  assert done.stderr.startswith("bfjax: config.head has no key 'mm'.")


def test_a_command_is_one_file(tmp_path):
  """Of a copy of the package: it is listed, completed and run."""
  shutil.copytree(ROOT / 'bfjax', tmp_path / 'bfjax')
  (tmp_path / 'bfjax/commands/mine.py').write_text(
    '"""Does what I want."""\n'
    'from bfjax import command, errors\n'
    'def parse_arguments(arguments=None):\n'
    '  parser = command.Parser(__doc__)\n'
    "  parser.add_argument('--how')\n"
    '  return parser.parse_args(arguments)\n'
    'def main(arguments):\n'
    "  raise errors.UserError(f'not {arguments.how}')\n"
  )
  here = {'cwd': tmp_path, 'capture_output': True, 'text': True}
  command = [sys.executable, '-m', 'bfjax']
  assert 'Does what I want\n' in subprocess.run(command, **here).stdout
  done = subprocess.run([*command, 'mine', '--how=so'], **here)
  assert (done.returncode, done.stderr) == (2, 'bfjax mine: not so\n')


TOOLS = {'convert': 'convert_checkpoint'}


@pytest.mark.parametrize('name', plugins.names(program.COMMANDS))
def test_a_tool_is_the_command_by_another_name(name):
  if name == 'completion':
    return
  tool = ROOT / 'tools' / f'{TOOLS.get(name, name)}.py'
  shown = subprocess.run(
    [sys.executable, tool, '--help'],
    env=ENVIRONMENT,
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  said = run(name, '--help').stdout
  assert shown.startswith(f'usage: {tool.name} ')
  options = said.index('\n\n')
  assert shown.endswith(said[options:].removesuffix('imported:\n'))


BASH = """
eval "$(bfjax completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9 COMPREPLY=()
COMP_WORDBREAKS=$' \\t\\n"><=;|&(:'
_python_argcomplete bfjax
echo "${COMPREPLY[@]}"
"""


@pytest.fixture(scope='module')
def complete(tmp_path_factory):
  """A line as far as it is typed -> what bash offers then, at a TAB."""
  folder = tmp_path_factory.mktemp('bin')
  script = folder / 'bfjax'
  script.write_text(
    f'#!{sys.executable}\nfrom bfjax import __main__\n__main__.main()\n'
  )
  script.chmod(0o755)
  environment = {**ENVIRONMENT, 'PATH': f'{folder}:{os.environ["PATH"]}'}

  def at_tab(line):
    done = subprocess.run(
      ['bash', '-c', BASH, 'bash', line],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
      check=True,
    )
    return done.stdout.split()

  return at_tab


@pytest.mark.parametrize(
  'line, offered',
  [
    ('bfjax pa', 'pack'),
    ('bfjax pack --to fo', 'folder'),
    ('bfjax pack --pairs-', '--pairs-format'),
    ('bfjax convert --as i', 'insightface'),
    ('bfjax train --config.head.la', '--config.head.lambda_'),
    ('bfjax train --config=configs/sm', 'configs/small.py'),
    ('bfjax --workd', '--workdir'),
    ('bfjax nonsense --f', ''),
  ],
)
def test_a_shell_completes(complete, line, offered):
  found = complete(line)
  assert found[:1] == offered.split()


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_each_shell_has_its_script(shell):
  assert 'bfjax' in run('completion', shell).stdout

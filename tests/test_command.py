import pytest

from bfjax import command, errors


def test_a_user_error_is_a_message_and_status_two(capsys):
  def job():
    raise errors.UserError('No such list.')

  with pytest.raises(SystemExit) as raised:
    command.run('pack', job)
  assert raised.value.code == 2
  assert capsys.readouterr().err == 'pack: No such list.\n'


def test_ctrl_c_is_status_130(capsys):
  def job():
    raise KeyboardInterrupt

  with pytest.raises(SystemExit) as raised:
    command.run('pack', job)
  assert raised.value.code == 130


def test_other_errors_keep_their_trace():
  def job():
    raise ValueError('a bug')

  with pytest.raises(ValueError, match='a bug'):
    command.run('pack', job)

"""The plan before the run: what a compiled step is said to take."""

import collections
import json
import os
import pathlib
import subprocess
import sys

import pytest

import tiny
from bfjax import configfile, errors
from bfjax.commands import plan as command
from bfjax.planning import (
  advice,
  cards,
  causes,
  compiling,
  costs,
  hlo,
  memory,
  saying,
)

ROOT = pathlib.Path(__file__).parents[1]

PROGRAM = """
HloModule jit_step, is_scheduled=true, num_partitions=2

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%body (state: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %state = (s32[], f32[8,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %x = f32[8,4]{1,0} get-tuple-element(%state), index=1
  %wide = f32[32,4]{1,0} broadcast(%x), dimensions={0,1}
  %y = f32[8,4]{1,0} slice(%wide), slice={[0:8], [0:4]}
  ROOT %next = (s32[], f32[8,4]{1,0}) tuple(%i, %y)
}

%picked (p: f32[8,4], q: s32[3]) -> f32[3,4] {
  %p = f32[8,4]{1,0} parameter(0)
  %q = s32[3]{0} parameter(1)
  ROOT %rows = f32[3,4]{1,0} gather(%p, %q), offset_dims={1}
}

ENTRY %main (w: f32[8,16], e: f32[4,16]) -> f32[] {
  %w = f32[8,16]{1,0} parameter(0), sharding={devices=[2,1]<=[2]}
  %e = f32[4,16]{1,0} parameter(1)
  %zero = s32[] constant(0)
  %where = s32[3]{0} iota(), iota_dimension=0
  %all-gather-start = (f32[2,16]{1,0}, f32[4,16]{1,0}) all-gather-start(%e), \
dimensions={0}, metadata={op_name="jit(step)/shard_map/all_gather"}
  %all-gather-done = f32[4,16]{1,0} all-gather-done(%all-gather-start)
  %logits = f32[8,4]{1,0} dot(%w, %all-gather-done), \
lhs_contracting_dims={1}, rhs_contracting_dims={1}, \
operand_precision={highest,highest}, metadata={op_name="jit(step)/shard_map/d"}
  %in = (s32[], f32[8,4]{1,0}) tuple(%zero, %logits)
  %loop = (s32[], /*index=1*/f32[8,4]{1,0}) while(%in), condition=%c, \
body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %out = f32[8,4]{1,0} get-tuple-element(%loop), index=1
  %few = f32[3,4]{1,0} fusion(%out, %where), kind=kLoop, calls=%picked
  %conv = (bf16[2,7,7,32]{3,2,1,0}, u8[0]{0}) custom-call(%few, %w), \
window={size=3x3}, dim_labels=b01f_o01i->b01f, \
custom_call_target="__cudnn$convForward"
  ROOT %all-reduce = f32[] all-reduce(%zero), to_apply=%sum
}
"""


@pytest.fixture(scope='module')
def program():
  return hlo.parse(PROGRAM)


def test_a_program_is_read(program):
  entry = program.entry
  assert entry.name == 'main'
  assert [x.name for x in entry.parameters] == ['w', 'e']
  loop = entry.instructions['loop']
  assert loop.type == (hlo.Array('s32', ()), hlo.Array('f32', (8, 4)))
  assert loop.operands == ('in',)
  assert loop.trips == 3
  assert loop.called == ['body']
  assert loop.bytes == 4 + 8 * 4 * 4
  assert entry.instructions['conv'].arrays[0].bytes == 2 * 2 * 49 * 32
  assert [x.name for x in entry.users['logits']] == ['in']


def test_products_count_two_operations_a_multiply_add(program):
  by_name = {
    x.name: kernel
    for (x, _, _), kernel in zip(
      [k for k in program.kernels() if costs.collective_kind(k[0]) is None],
      costs.kernels(program),
      strict=True,
    )
  }
  logits = by_name['logits']
  assert logits.operations == 2 * 8 * 4 * 16
  assert logits.precision == 'float32'
  assert logits.bytes == 4 * (8 * 16 + 4 * 16 + 8 * 4)
  assert by_name['wide'].times == 3
  # Of an operand that is only picked from, what is picked.
  assert by_name['few'].bytes == 4 * (12 + 12 + 3)


def test_a_convolution_counts_the_entries_of_its_filter_but_for_its_outputs():
  text = PROGRAM.replace('%few, %w)', '%few, %filter)').replace(
    '  %zero = s32',
    '  %filter = bf16[32,3,3,8]{3,2,1,0} iota(), iota_dimension=0\n'
    '  %zero = s32',
  )
  found = [k.operations for k in costs.kernels(hlo.parse(text))]
  assert 2 * (2 * 7 * 7 * 32) * (3 * 3 * 8) in found


def test_a_collective_is_told_by_what_a_card_sends(program):
  gather, reduce = costs.collectives(program, 2)
  assert (gather.kind, gather.bytes) == ('all-gather', 2 * 4 * 16 * 4)
  assert gather.wire_bytes == gather.bytes // 2
  assert (reduce.kind, reduce.wire_bytes) == ('all-reduce', 4)
  assert costs.collectives(program, 1) == []


def test_a_loop_over_the_logits_is_one_pass(program):
  assert costs.passes(program, 4, 8) == ['logits', 'loop']


def test_memory_is_what_lives_at_the_same_time():
  program = hlo.parse(PROGRAM.replace('bf16[2,7,7,32]', 'bf16[1,1,1,32]'))

  def cause_of(x, _):
    return x.name

  most = memory.peak(program, cause_of)
  # In the loop: its own array, beside the logits that it works on. Its result
  # is written where they lie, and what was gathered is gone.
  assert most['wide'] == 4 * 32 * 4
  assert most['logits'] == 4 * 8 * 4
  assert most['all-gather-start'] == 0
  assert most.total() == 4 * (32 * 4 + 8 * 4)


CLASSES, ROWS = 101, 1003


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  return tiny.config(tmp_path_factory.mktemp('faces'))


@pytest.fixture(scope='module')
def plan(config, quick_compilation):
  del quick_compilation
  return saying.make(config, cards.CPU, 4, CLASSES, ROWS)


def test_the_state_is_split_over_the_cards(plan):
  a_card = -(-CLASSES // 4)
  dim = 8
  assert plan.memory['class centres and momentum'] == 2 * 4 * a_card * dim
  # An int32 label and its history: a count and two cosines in 16 bits.
  assert plan.memory['label table'] == (4 + 3 * 2) * -(-ROWS // 4)
  assert plan.held == sum(plan.memory.values())
  assert plan.memory[causes.ACTIVATIONS] > plan.memory['batch']


def test_what_crosses_is_embeddings_numbers_a_row_and_gradients(config, plan):
  rows, dim = config.batch, 8
  crossing = plan.collectives
  _, gathered, _ = crossing['head and labels', 'all-gather']
  _, scattered, _ = crossing['head and labels', 'reduce-scatter']
  _, reduced, _ = crossing['head and labels', 'all-reduce']
  assert gathered >= 4 * rows * dim
  assert gathered < 4 * rows * (dim + 8)  # and labels, masks, rows
  assert scattered >= 4 * rows * dim
  assert reduced <= 4 * 20 * rows  # nothing as long as the classes
  _, gradients, sent = crossing['backbone', 'all-reduce']
  backbone = plan.memory['backbone and momentum']
  assert backbone / 4 < gradients < backbone
  assert plan.sent > sent >= gradients


def test_no_time_is_told_of_a_cpu(plan):
  assert plan.secs is None
  said = saying.as_text(plan)
  assert '4 x virtual devices of the CPU, 16 rows a step (4 a card)' in said
  assert 'no time is predicted' in said
  assert 'float32' in said
  assert 'tf32' not in said


def test_the_text_of_a_card_is_the_card(tmp_path):
  card = cards.read('a100')
  path = tmp_path / 'mine.txtpb'
  path.write_text(card.target + 'device_description_str: "Mine"\n')
  mine = cards.read(str(path))
  assert mine.title == 'Mine'
  for name in ('memory_bytes', 'bandwidth', 'matrix', 'link'):
    assert getattr(mine, name) == pytest.approx(getattr(card, name))
  half = path.read_text().replace('core_count: 108', 'core_count: 54')
  path.write_text(half)
  halved = cards.read(str(path)).matrix['bfloat16']
  assert halved == pytest.approx(card.matrix['bfloat16'] / 2)


def test_a_card_of_ones_own_is_a_table(tmp_path):
  table = (ROOT / 'bfjax' / 'planning' / 'cards.toml').read_text()
  own = table.split('[h200]')[0].split('[h100]')[1]
  path = tmp_path / 'mine.toml'
  path.write_text(own)
  assert cards.read(str(path)) == cards.read('h100')
  path.write_text(own.replace('memory_bytes', 'bytes'))
  with pytest.raises(errors.UserError, match="lacks 'memory_bytes'"):
    cards.read(str(path))
  path.write_text('{')
  with pytest.raises(errors.UserError, match='neither'):
    cards.read(str(path))
  path.write_text('gpu_device_info { core_count: 3 clock_rate_ghz: 1 }')
  with pytest.raises(errors.UserError, match='no major'):
    cards.read(str(path))
  with pytest.raises(errors.UserError, match=r'No card called .*h100.*mean'):
    cards.read('h10')


def test_what_does_not_fit_is_told_what_to_change(config):
  held = collections.Counter({causes.LOGITS: 60e9, causes.ACTIVATIONS: 20e9})
  assert advice.remedies(held, config, 8, 200e9) == []
  found = advice.remedies(held, config, 8, 80e9)
  assert any('config.batch' in x for x in found)
  assert any('16 cards' in x for x in found)
  assert any('backbone.dtype=bfloat16' in x for x in found)
  assert advice.verdict(50e9, 80e9).endswith('80.0 GB: fits')
  assert 'MEM_FRACTION' in advice.verdict(70e9, 80e9)
  assert 'does not fit' in advice.verdict(80e9, 80e9)


def test_numbers_that_are_none_are_refused(capsys):
  found = command.parse_arguments(['--classes', '1e5,1e6'])
  assert found.classes == [100_000, 1_000_000]
  for words in (['--devices', '0'], ['--classes', '1.5'], ['--cart', 'h100']):
    with pytest.raises(SystemExit):
      command.parse_arguments(words)
  assert 'unrecognized argument: --cart' in capsys.readouterr().err


def test_the_config_is_changed_as_by_the_command(config):
  del config
  words = ['--config=configs/ms1mv2.py', '--config.head.m=0.25']
  changed = configfile.read(command.parse_arguments(words).config_words)
  assert changed.head.m == 0.25
  with pytest.raises(errors.UserError, match='mm'):
    configfile.read(['--config=configs/ms1mv2.py', '--config.head.mm=1'])
  with pytest.raises(errors.UserError, match='--config=FILE'):
    configfile.read([])


def test_a_missing_plugin_names_the_remedy(monkeypatch):
  monkeypatch.setattr(compiling, 'has_plugin', lambda: False)
  with pytest.raises(errors.UserError, match=r"pip install 'bfjax\[cuda\]'"):
    compiling.devices(cards.read('h100'), 8)


CONFIG = """
import tiny

def get_config():
  return tiny.config({cache!r})
"""


@pytest.mark.slow
@pytest.mark.skipif(
  not compiling.has_plugin(),
  reason="needs JAX's plug-in for CUDA: pip install '.[cuda]'",
)
def test_a_step_compiles_for_cards_that_are_not_here(tmp_path):
  path = tmp_path / 'config.py'
  path.write_text(CONFIG.format(cache=str(tmp_path)))
  out = tmp_path / 'plan.json'
  paths = [str(ROOT), str(ROOT / 'tests'), os.environ.get('PYTHONPATH', '')]
  words = [
    *(f'--config={path}', '--card', 'h100', '--devices', '8'),
    *('--classes', '1000', '--json', str(out)),
  ]
  done = subprocess.run(
    [sys.executable, 'tools/plan.py', *words],
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert not done.returncode, done.stderr
  assert '8 x NVIDIA H100 SXM' in done.stdout
  assert 'predicted step' in done.stdout
  (found,) = json.loads(out.read_text())
  assert found['memory']['class centres and momentum'] == 2 * 4 * 125 * 8
  assert found['secs']['total'] > found['secs']['bound'] > 0
  # Head: three products of [16, 8] with [125, 8].
  assert found['operations']['float32'] >= 3 * 2 * 16 * 8 * 125

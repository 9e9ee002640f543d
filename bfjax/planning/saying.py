"""All that a plan says: as data, as text, and as a row of a table."""

import dataclasses
from collections import Counter
from typing import Any

from bfjax import text
from bfjax.planning import advice, cards, causes, compiling, costs, prediction

COLUMNS = (
  'cards',
  'classes',
  'state',
  'activations',
  'logits',
  'peak a card',
  'sent a card',
  'operations a card',
  'step',
  'images/s',
)


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a config needs of so many cards.

  Attributes:
    card: its title.
    devices: cards.
    rows: of a micro-batch, over all cards.
    classes: of the data set.
    compile_secs: how long the compiler took.
    memory: bytes a card by cause.
    memory_bytes: of a card; 0 where that is no matter.
    collectives: (what, kind) -> (how often, bytes of the arrays, bytes that a
      card sends), a step.
    operations: precision -> floating-point operations of a card, a step.
    moved_bytes: read and written by a card's kernels, a step.
    launches: kernels a step.
    passes: over the logits of a card, a step.
    secs: the predicted time; None where there are no limits to reckon with.
    remedies: what to change where it does not fit.
  """

  card: str
  devices: int
  rows: int
  classes: int
  compile_secs: float
  memory: dict[str, int]
  memory_bytes: int
  collectives: dict[tuple[str, str], tuple[int, int, int]]
  operations: dict[str, int]
  moved_bytes: int
  launches: int
  passes: int
  secs: prediction.Prediction | None
  remedies: list[str]

  @property
  def held(self) -> int:
    """Bytes a card, in all."""
    return sum(self.memory.values())

  @property
  def sent(self) -> int:
    """Bytes that a card sends in a step."""
    return sum(sent for _, _, sent in self.collectives.values())


def make(config, card: cards.Card, devices: int, classes: int, rows: int):
  """The `Plan` of a config for so many cards, classes and images.

  Raises:
    UserError: as `compiling.compile_step`.
  """
  compiled = compiling.compile_step(config, card, devices, classes, rows)
  kernels = costs.kernels(compiled.program)
  crossing = costs.collectives(compiled.program, devices)
  memory = causes.by_cause(compiled)
  operations = Counter()
  for x in kernels:
    kind = x.precision
    if kind == 'tf32' and not card.target:
      kind = 'float32'  # a CPU has no TF32
    operations[kind] += x.times * x.operations
  secs = None
  if card.target:
    secs = prediction.predict(kernels, crossing, card, devices)
  return Plan(
    card=card.title,
    devices=devices,
    rows=config.batch * config.accumulate,
    classes=classes,
    compile_secs=compiled.compile_secs,
    memory=memory,
    memory_bytes=card.memory_bytes,
    collectives=_grouped(crossing),
    operations={k: v for k, v in operations.items() if v},
    moved_bytes=sum(x.times * x.bytes for x in kernels),
    launches=sum(x.times for x in kernels),
    passes=len(causes.passes(compiled, config)),
    secs=secs,
    remedies=advice.remedies(memory, config, devices, card.memory_bytes),
  )


def _grouped(crossing) -> dict[tuple[str, str], tuple[int, int, int]]:
  found = {}
  for x in crossing:
    what = 'head and labels' if prediction.is_head(x.op_name) else 'backbone'
    old = found.get((what, x.kind), (0, 0, 0))
    new = x.times, x.times * x.bytes, x.times * x.wire_bytes
    found[what, x.kind] = tuple(a + b for a, b in zip(old, new, strict=True))
  return found


def as_data(plan: Plan) -> dict[str, Any]:
  """What JSON can hold."""
  data = dataclasses.asdict(plan)
  data['collectives'] = [
    dict(zip(('of', 'kind', 'times', 'bytes', 'sent_bytes'), row, strict=True))
    for row in ((*key, *numbers) for key, numbers in plan.collectives.items())
  ]
  secs = plan.secs
  data['secs'] = secs and secs._asdict() | {'total': secs.total}
  return data | {'held': plan.held, 'sent': plan.sent}


def as_text(plan: Plan) -> str:
  """For people to read."""
  lines = [
    f'{plan.devices} x {plan.card}, {plan.rows:,} rows a step'
    f' ({plan.rows // plan.devices} a card), {plan.classes:,} classes:'
    f' compiles ({plan.compile_secs:.0f} s)',
    '',
    text.table([('memory a card', ''), *_memory_rows(plan)]),
    '',
  ]
  if plan.collectives:
    rows = [
      (what, kind, str(times), _bytes(size), _bytes(sent))
      for (what, kind), (times, size, sent) in plan.collectives.items()
    ]
    header = ('of', 'collective', 'a step', 'arrays', 'a card sends')
    lines += [text.table([header, *rows]), '']
  operations = ', '.join(
    f'{_count(count)} in {precision}'
    for precision, count in plan.operations.items()
  )
  lines += [
    f'operations a card and step: {operations or "none that are told"}',
    f'memory traffic a card and step: {_bytes(plan.moved_bytes)} by'
    f' {plan.launches:,} kernels; {plan.passes} of them go over all logits of a'
    ' card',
  ]
  return '\n'.join([*lines, *_time_lines(plan), *_remedy_lines(plan)]) + '\n'


def _memory_rows(plan):
  rows = [(name, _bytes(size)) for name, size in plan.memory.items() if size]
  said = advice.verdict(plan.held, plan.memory_bytes)
  return [*rows, ('in all', f'{_bytes(plan.held)} {said}'.strip())]


def _time_lines(plan):
  secs = plan.secs
  if not secs:
    return ['no time is predicted: nothing is known of the limits of this CPU']
  return [
    f'predicted step: {_ms(secs.total)}, {plan.rows / secs.total:,.0f} images/s'
    f' (backbone {_ms(secs.backbone)}, head {_ms(secs.head)}, collectives'
    f' {_ms(secs.collectives)}); at the limits themselves {_ms(secs.bound)}',
    *(f'  assumed: {line}' for line in prediction.ASSUMPTIONS),
    '  not in it: what cuDNN takes of memory while a convolution runs',
  ]


def _remedy_lines(plan):
  if not plan.remedies:
    return []
  return ['', 'to make it fit, one of:', *(f'  {x}' for x in plan.remedies)]


def as_row(plan: Plan) -> tuple[str, ...]:
  """A row of a table with the headings `COLUMNS`."""
  state = sum(plan.memory[name] for name in causes.STATE)
  said = advice.verdict(plan.held, plan.memory_bytes)
  fits = '' if said.endswith('fits') or not said else ' (!)'
  if 'does not' in said:
    fits = ' does not fit'
  secs = plan.secs
  return (
    str(plan.devices),
    f'{plan.classes:,}',
    _bytes(state),
    _bytes(plan.memory.get(causes.ACTIVATIONS, 0)),
    _bytes(plan.memory.get(causes.LOGITS, 0)),
    _bytes(plan.held) + fits,
    _bytes(plan.sent),
    _count(sum(plan.operations.values())),
    _ms(secs.total) if secs else '',
    f'{plan.rows / secs.total:,.0f}' if secs else '',
  )


def table(plans) -> str:
  """A Markdown table of several."""
  return text.table([COLUMNS, *map(as_row, plans)])


def _ms(secs: float) -> str:
  return f'{1e3 * secs:.3g} ms' if secs < 1 else f'{secs:.2f} s'


def _count(operations: int) -> str:
  if operations < 1e12:
    return f'{operations / 1e9:.3g} G'
  return f'{operations / 1e12:.3g} T'


def _bytes(size: float) -> str:
  for unit, name in ((1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB')):
    if abs(size) >= unit:
      return f'{size / unit:.3g} {name}'
  return f'{size:.0f} B'

// What the pages of bfjax.report do: slides, and judgements of rows.
'use strict';

function showSlides(slides) {
  const slider = slides.querySelector('input');
  const name = slides.querySelector('output');
  const figures = [...slides.querySelectorAll('figure')];
  slider.addEventListener('input', () => {
    figures.forEach((figure, i) => { figure.hidden = i !== +slider.value; });
    name.value = figures[slider.value].dataset.name;
    slider.setAttribute('aria-valuetext', name.value);
  });
}

// Marks outlast the page where the browser allows it.
const memory = {
  read(key) {
    try { return (localStorage.getItem(key) || '').split(','); }
    catch { return []; }
  },
  write(key, rows) {
    try { localStorage.setItem(key, rows.join()); }
    catch { /* Then they are there until the page is closed. */ }
  },
};

// A name of a file is bytes, and need not be UTF-8.
function bytesOf(encoded) {
  return Uint8Array.from(atob(encoded), (x) => x.charCodeAt(0));
}

function download(name, parts) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(parts));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Rows in the order of a value of theirs; those without one come last.
function inOrder(cards, wanted) {
  const [, minus, by] = wanted.match(/(-?)(.*)/);
  const sign = minus ? -1 : 1;
  const number = (a, b) => sign * (a - b);
  const name = (a, b) => sign * a.localeCompare(b, undefined, {numeric: true});
  const compare = by === 'given' ? name : number;
  return by ? [...cards].sort((one, two) => {
    const [a, b] = [one.dataset[by], two.dataset[by]];
    return (a === '') - (b === '') || compare(a, b);
  }) : cards;
}

function review(root) {
  const form = root.querySelector('form');
  const {verdict, low, high, first, sort, marked, shown, save} = form.elements;
  const name = form.elements.class;
  const grid = root.querySelector('.cards');
  const cards = [...grid.children];
  const key = `bfjax ${document.title} ${cards.map((x) => x.dataset.row)}`;
  const isMarked = (card) => card.classList.contains('marked');

  function mark(card, isWrong) {
    card.classList.toggle('marked', isWrong);
    card.querySelector('.mark').setAttribute('aria-pressed', isWrong);
  }

  function isWanted({dataset: row, classList}) {
    const sureness = row.confidence === '' ? 1 : +row.confidence;
    const classes = [row.given, row.proposed].map((x) => x.toLowerCase());
    return (!verdict.value || row.verdict === verdict.value)
      && classes.some((x) => x.includes(name.value.trim().toLowerCase()))
      && (!low || (sureness >= +low.value && sureness <= +(high.value || 1)))
      && (!first || +row.since >= +first.value)
      && (!marked.checked || classList.contains('marked'));
  }

  function tell() {
    const left = cards.filter((card) => !card.hidden).length;
    const marks = cards.filter(isMarked).length;
    shown.value = `${left} of ${cards.length} shown, ${marks} marked wrong`;
    save.disabled = !marks;
  }

  function update() {
    for (const card of cards) card.hidden = !isWanted(card);
    tell();
  }

  const before = new Set(memory.read(key));
  for (const card of cards) mark(card, before.has(card.dataset.row));
  update();

  form.addEventListener('input', update);
  form.addEventListener('submit', (event) => event.preventDefault());
  sort.addEventListener('change', () => {
    grid.append(...inOrder(cards, sort.value));
  });
  grid.addEventListener('click', ({target}) => {
    if (!target.matches('.mark')) return;
    const card = target.closest('.card');
    mark(card, !isMarked(card));
    memory.write(key, cards.filter(isMarked).map((x) => x.dataset.row));
    tell();
  });
  save.addEventListener('click', () => {
    const marks = inOrder(cards.filter(isMarked), 'row');
    const lines = marks.flatMap(({dataset: {row, path}}) => (
      [`${row}\t`, bytesOf(path), '\twrong\n']));
    download('marks.tsv', ['row\tpath\tmark\n', ...lines]);
  });
  // j and k go to the next row and back; its button then has the focus.
  document.addEventListener('keydown', (event) => {
    const step = {j: 1, k: -1}[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches('input, select')) return;
    const left = [...grid.children].filter((card) => !card.hidden);
    const place = left.indexOf(document.activeElement.closest('.card'));
    const next = left[Math.max(place + step, 0)];
    if (!next) return;
    next.querySelector('.mark').focus({preventScroll: true});
    next.scrollIntoView({block: 'center'});
  });
}

document.querySelectorAll('.slides').forEach(showSlides);
document.querySelectorAll('.review').forEach(review);

import { overview } from './data.js';
import { bar, figure, make, percent, plural } from './dom.js';
import { overviewLink, questionLink } from './route.js';

/**
 * @typedef {import('../../report.ts').PairReport} PairReport
 * @typedef {import('../../statistics/outcomes.ts').Tally} Tally
 */

const nameOf = (/** @type {string} */ id) => overview.report.names[id] ?? id;
const firstQuestion = (/** @type {string} */ category = '') =>
  overview.questions.find((q) => category === '' || q.category === category)?.id ?? '';

/** Which opponent's scores by category are shown; stays while one looks around. */
let opponent = '';

/** @param {HTMLElement} main @param {string} candidate */
export function showOverview(main, candidate) {
  const pairs = overview.report.pairs.filter((p) => p.candidate === candidate).toSorted(byStrength);
  const scored = pairs.filter((p) => p.stored.candidateTotal !== null);
  main.replaceChildren(
    ...[
      head(candidate),
      pairs.length > 0 && winsSection(pairs),
      scored.length > 0 && totalsSection(scored, candidate),
      scored.length > 0 && qualitySection(scored, candidate),
      pairs.length > 0 && categorySection(pairs, candidate),
      ratingsSection(),
      rankingSection(),
      biasSection(pairs),
      differencesSection(pairs),
    ].filter((section) => section !== false && section !== null),
  );
}

/** The strongest opponent last, as in the blog's figures. */
const byStrength = (/** @type {PairReport} */ a, /** @type {PairReport} */ b) => (b.stored.winRate ?? 0) - (a.stored.winRate ?? 0);

function head(/** @type {string} */ candidate) {
  const { report, questions } = overview;
  const all = [...new Set(report.pairs.map((p) => p.candidate))];
  const judge = report.judge === null ? '' : ` by ${report.judge}`;
  return make(
    'section',
    { class: 'lead' },
    make('h1', {}, nameOf(candidate)),
    make(
      'p',
      {},
      `${plural(questions.length, 'question', 'questions')}, ${plural(report.reviews.total, 'review', 'reviews')}${judge}. `,
      make('a', { href: linkTo(report.pairs.find((p) => p.candidate === candidate)) }, 'Look at the questions'),
      make('span', { class: 'hint' }, ' or press ', make('kbd', {}, '→')),
    ),
    all.length > 1 &&
      make(
        'nav',
        { class: 'candidates', 'aria-label': 'Candidate' },
        ...all.map((c) => make('a', { href: overviewLink(c), ...(c === candidate ? { 'aria-current': 'true' } : {}) }, nameOf(c))),
      ),
  );
}

const linkTo = (/** @type {PairReport | undefined} */ pair, category = '') =>
  questionLink({ question: firstQuestion(category), left: pair?.baseline ?? '', right: pair?.candidate ?? '', category: category || null });

/** @param {string} title @param {string} about @param {...(Node | false | null)} children */
const section = (title, about, ...children) =>
  make(
    'section',
    {},
    make('h2', {}, title),
    about !== '' && make('p', { class: 'about' }, about),
    ...children.filter((c) => c !== false && c !== null),
  );

const KINDS = /** @type {const} */ ([
  ['wins', 'win'],
  ['ties', 'tie'],
  ['losses', 'loss'],
]);

const legend = (/** @type {string[][]} */ ...entries) =>
  make('p', { class: 'legend', 'aria-hidden': 'true' }, ...entries.map(([kind, text]) => make('span', { class: kind ?? '' }, text)));

/** Shares of wins, ties and losses in one bar. */
function stacked(/** @type {Tally} */ tally) {
  const pieces = KINDS.map(([field, kind]) => {
    const share = tally[field] / (tally.judged || 1);
    return bar(`piece ${kind}`, share * 100, share > 0.04 ? String(tally[field]) : '');
  });
  return make('span', { class: 'bar', 'aria-hidden': 'true' }, ...pieces);
}

function winsSection(/** @type {PairReport[]} */ pairs) {
  const row = (/** @type {PairReport} */ pair) => {
    const c = pair.stored;
    return make(
      'li',
      {},
      make(
        'a',
        { href: linkTo(pair), 'aria-label': `Against ${nameOf(pair.baseline)}: ${c.wins} wins, ${c.ties} ties, ${c.losses} losses` },
        make('span', { class: 'label' }, nameOf(pair.baseline)),
        stacked(c),
        make('span', { class: 'value', 'aria-hidden': 'true' }, `${c.wins} · ${c.ties} · ${c.losses}`),
      ),
    );
  };
  return section(
    'Win · tie · loss',
    `How often ${nameOf(pairs[0]?.candidate ?? '')} is better, equal, worse.`,
    legend(...KINDS.map(([, kind]) => [kind, kind])),
    make('ul', { class: 'rows wins' }, ...pairs.map(row)),
  );
}

function totalsSection(/** @type {PairReport[]} */ pairs, /** @type {string} */ candidate) {
  const published = pairs.some((p) => p.published !== null);
  const equal = pairs.every((p) => p.published?.equal);
  const rows = pairs.map((p) =>
    make(
      'tr',
      {},
      make('th', { scope: 'row' }, make('a', { href: linkTo(p) }, nameOf(p.baseline))),
      make('td', {}, figure(p.stored.baselineTotal)),
      make('td', {}, figure(p.stored.candidateTotal)),
      make('td', {}, percent(p.stored.relativeQuality, 1), interval(p.stored.relativeQualityInterval)),
      make('td', {}, percent(p.stored.winRate, 1), interval(p.stored.winRateInterval)),
    ),
  );
  const columns = ['Baseline', 'Baseline total', `${nameOf(candidate)} total`, 'Relative quality', 'Win rate'];
  return section(
    published ? 'Total scores (Table 2 of the blog post)' : 'Total scores',
    published && equal
      ? 'Exactly as published. Intervals are 95 %, by bootstrap over the questions.'
      : 'Intervals are 95 %, by bootstrap over the questions.',
    make(
      'div',
      { class: 'wide', tabindex: '0', role: 'region', 'aria-label': 'Total scores' },
      make(
        'table',
        {},
        make('thead', {}, make('tr', {}, ...columns.map((c) => make('th', { scope: 'col' }, c)))),
        make('tbody', {}, ...rows),
      ),
    ),
  );
}

const interval = (/** @type {readonly [number, number] | null} */ range) =>
  range && make('small', {}, `${percent(range[0])} to ${percent(range[1])}`);

/** Every model as a share of the best: a baseline's total over the candidate's in their own pair (Figure 1 of the blog post). */
function qualitySection(/** @type {PairReport[]} */ pairs, /** @type {string} */ candidate) {
  const qualities = [
    { id: candidate, quality: 1 },
    ...pairs.map((p) => ({ id: p.baseline, quality: (p.stored.baselineTotal ?? 0) / (p.stored.candidateTotal || 1) })),
  ].toSorted((a, b) => a.quality - b.quality);
  const best = qualities.at(-1)?.quality ?? 1;
  return section(
    'Relative quality',
    `Total score as a share of ${nameOf(qualities.at(-1)?.id ?? '')}’s, each measured against ${nameOf(candidate)}.`,
    make(
      'ul',
      { class: 'rows' },
      ...qualities.map(({ id, quality }) =>
        make(
          'li',
          { class: id === candidate ? 'own' : '' },
          make('span', { class: 'label' }, nameOf(id)),
          make('span', { class: 'bar', 'aria-hidden': 'true' }, bar('piece one', (quality / best) * 100)),
          make('span', { class: 'value' }, percent(quality / best)),
        ),
      ),
    ),
  );
}

function categorySection(/** @type {PairReport[]} */ pairs, /** @type {string} */ candidate) {
  const holder = make('div', {});
  const scores = pairs[0]?.stored.candidateTotal !== null;
  const draw = () => {
    const pair = pairs.find((p) => p.baseline === opponent) ?? pairs.at(-1);
    if (!pair) return;
    opponent = pair.baseline;
    const tabs = pairs.map((p) => {
      const pressed = p.baseline === pair.baseline;
      const choose = () => {
        opponent = p.baseline;
        draw();
        /** @type {HTMLElement | null} */ (holder.querySelector('[aria-pressed="true"]'))?.focus();
      };
      return make('button', { type: 'button', 'aria-pressed': String(pressed), click: choose }, nameOf(p.baseline));
    });
    holder.replaceChildren(
      make('div', { class: 'tabs', role: 'group', 'aria-label': 'Opponent' }, ...tabs),
      scores ? legend(['win', nameOf(candidate)], ['other', nameOf(pair.baseline)]) : legend(...KINDS.map(([, kind]) => [kind, kind])),
      make('ul', { class: 'rows categories' }, ...Object.entries(pair.stored.byCategory).map(([c, t]) => categoryRow(pair, c, t))),
    );
  };
  draw();
  return section('By category', scores ? 'Mean score of 10, and wins · ties · losses.' : 'Wins · ties · losses.', holder);
}

function categoryRow(/** @type {PairReport} */ pair, /** @type {string} */ category, /** @type {Tally} */ tally) {
  const mean = (/** @type {number | null} */ total) => (total === null ? null : total / tally.judged);
  const [ours, theirs] = [mean(tally.candidateTotal), mean(tally.baselineTotal)];
  const scored = ours !== null && theirs !== null;
  const counts = `${tally.wins} · ${tally.ties} · ${tally.losses}`;
  return make(
    'li',
    {},
    make(
      'a',
      { href: linkTo(pair, category) },
      make('span', { class: 'label' }, category),
      scored
        ? make('span', { class: 'bar pair', 'aria-hidden': 'true' }, bar('piece win', ours * 10), bar('piece other', theirs * 10))
        : stacked(tally),
      make('span', { class: 'value' }, ...(scored ? [`${figure(ours)} : ${figure(theirs)}`, make('small', {}, counts)] : [counts])),
    ),
  );
}

function ratingsSection() {
  const { ratings } = overview.report;
  if (ratings === null) return null;
  const rows = Object.entries(ratings).toSorted(([, a], [, b]) => b.mean - a.mean);
  return section(
    'Ratings',
    'Each answer judged alone: mean of 10.',
    make(
      'ul',
      { class: 'rows' },
      ...rows.map(([model, { mean }]) =>
        make(
          'li',
          {},
          make('span', { class: 'label' }, nameOf(model)),
          make('span', { class: 'bar', 'aria-hidden': 'true' }, bar('piece one', mean * 10)),
          make('span', { class: 'value' }, figure(mean)),
        ),
      ),
    ),
  );
}

function rankingSection() {
  const { ranking } = overview.report;
  if (ranking.length < 3) return null;
  const all = ranking.flatMap((r) => [r.bradleyTerry, ...(r.bradleyTerryInterval ?? [])]);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const place = (/** @type {number} */ value) => ((value - low) / (high - low || 1)) * 100;
  return section(
    'One scale',
    'Bradley–Terry ratings of all models from all reviews, with 95 % intervals; 400 points are ten to one. Elo in small.',
    make(
      'ul',
      { class: 'rows' },
      ...ranking.map((r) => {
        const [from, to] = r.bradleyTerryInterval ?? [r.bradleyTerry, r.bradleyTerry];
        const range = bar('range', place(to) - place(from));
        range.style.marginLeft = `${place(from)}%`;
        const dot = make('span', { class: 'dot' });
        dot.style.left = `${place(r.bradleyTerry)}%`;
        return make(
          'li',
          {},
          make('span', { class: 'label' }, nameOf(r.model)),
          make('span', { class: 'bar scale', 'aria-hidden': 'true' }, range, dot),
          make('span', { class: 'value' }, String(Math.round(r.bradleyTerry)), make('small', {}, `Elo ${Math.round(r.elo)}`)),
        );
      }),
    ),
  );
}

function biasSection(/** @type {PairReport[]} */ pairs) {
  if (pairs.length === 0) return null;
  const once = pairs.every((p) => p.positionBias === null);
  const alone = overview.report.ratings !== null;
  const items = pairs.flatMap((p) => {
    const said = [];
    if (p.positionBias)
      said.push(
        `both orders agree on ${percent(p.positionBias.agreement)} of ${p.positionBias.judgedTwice}`,
        `the first answer is preferred in ${percent(p.positionBias.prefersFirst)}, the second in ${percent(p.positionBias.prefersSecond)}`,
      );
    if (p.length) said.push(`the longer answer won ${p.length.longerWins} of ${p.length.decided}`);
    if (p.failed > 0) said.push(`${p.failed} without a verdict`);
    return said.length === 0 ? [] : [make('li', {}, make('b', {}, nameOf(p.baseline)), `: ${said.join('; ')}.`)];
  });
  return section(
    'Bias',
    alone
      ? 'Each answer was judged alone: there is no order.'
      : once
        ? 'Each pair was judged in one order only: how much a verdict owes to the order cannot be known.'
        : '',
    make('ul', { class: 'plain' }, ...items),
  );
}

function differencesSection(/** @type {PairReport[]} */ pairs) {
  const all = pairs.flatMap((p) => p.differences.map((d) => ({ p, d })));
  if (all.length === 0) return null;
  return section(
    'Where stored scores and text differ',
    `By their text, totals are ${pairs.flatMap((p) => (p.differences.length === 0 ? [] : [`${figure(p.parsed.candidateTotal)} against ${nameOf(p.baseline)}`])).join(' and ')}.`,
    make(
      'ul',
      { class: 'plain' },
      ...all.map(({ p, d }) =>
        make(
          'li',
          {},
          make(
            'a',
            { href: questionLink({ question: d.question, left: p.baseline, right: p.candidate, category: null }) },
            `Question ${d.question}, ${nameOf(p.baseline)}`,
          ),
          `: stored ${d.stored.join(' and ')}, the text says ${d.parsed === null ? 'nothing that can be read' : d.parsed.join(' and ')}. ${d.explanation ?? ''}`,
        ),
      ),
    ),
  );
}

import { showMarkdown } from '../../../gateway/page/markdown.js';
import { loadQuestion, overview } from './data.js';
import { figure, make } from './dom.js';
import { questionLink } from './route.js';

/**
 * @typedef {import('./route.js').QuestionRoute} QuestionRoute
 * @typedef {import('../data-files.ts').QuestionFile} QuestionFile
 * @typedef {import('../data-files.ts').ShownReview} ShownReview
 */

/** As the report has it. */
const TIE = 0.1;

const nameOf = (/** @type {string} */ id) => overview.report.names[id] ?? id;

/** One question with two models' answers, side by side, and what the judge says of them. */
export class Questions {
  /** @type {HTMLElement} */ #main;
  /** @type {(link: string) => void} */ #follow;
  /** @type {(text: string) => void} */ #announce;
  /** @type {QuestionRoute | null} */ #route = null;

  constructor(
    /** @type {HTMLElement} */ main,
    /** @type {(link: string) => void} */ follow,
    /** @type {(text: string) => void} */ announce,
  ) {
    this.#main = main;
    this.#follow = follow;
    this.#announce = announce;
  }

  /** To where one was, or to the first question with the candidate and its first baseline. */
  link(/** @type {string} */ candidate) {
    if (this.#route) return questionLink(this.#route);
    const pair = overview.report.pairs.find((p) => p.candidate === candidate) ?? overview.report.pairs[0];
    const [first, second] = overview.models;
    return questionLink({
      question: overview.questions[0]?.id ?? '',
      left: pair?.baseline ?? first?.id ?? '',
      right: pair?.candidate ?? second?.id ?? first?.id ?? '',
      category: null,
    });
  }

  step(/** @type {1 | -1} */ by) {
    const route = this.#route;
    if (!route) return;
    const within = this.#within(route.category);
    const at = within.findIndex((q) => q.id === route.question);
    const next = within[(at + by + within.length) % within.length];
    if (next) this.#go({ question: next.id });
  }

  swap() {
    if (this.#route) this.#go({ left: this.#route.right, right: this.#route.left });
  }

  /** Of those that were judged against the right one, where there are any. */
  nextOpponent() {
    const route = this.#route;
    if (!route) return;
    const judged = overview.report.pairs.flatMap(({ baseline, candidate }) =>
      baseline === route.right ? [candidate] : candidate === route.right ? [baseline] : [],
    );
    const others = judged.length > 0 ? judged : overview.models.map((m) => m.id).filter((id) => id !== route.right);
    const next = others[(others.indexOf(route.left) + 1) % others.length];
    if (next) this.#go({ left: next });
  }

  nextCategory() {
    if (!this.#route) return;
    const all = [null, ...categories()];
    const next = all[(all.indexOf(this.#route.category) + 1) % all.length] ?? null;
    this.#choose(next);
  }

  async show(/** @type {QuestionRoute} */ route) {
    const index = overview.questions.findIndex((q) => q.id === route.question);
    const unknown = [route.left, route.right].find((id) => !overview.models.some((m) => m.id === id));
    if (index < 0 || unknown !== undefined) {
      const what = index < 0 ? `no question ${route.question}` : `no model ${unknown}`;
      this.#main.replaceChildren(make('p', { class: 'empty' }, `This evaluation has ${what}. `, make('a', { href: '#/' }, 'Overview')));
      return;
    }
    const known = route.category !== null && !categories().includes(route.category) ? { ...route, category: null } : route;
    this.#route = known;
    const controls = this.#controls(known);
    const body = make('div', { class: 'question', 'aria-busy': true });
    // What had the focus keeps it: who goes on with a button must find it there again.
    const focused = document.activeElement?.id;
    this.#main.replaceChildren(controls, body);
    if (focused) document.getElementById(focused)?.focus();
    document.title = `Question ${known.question}: ${nameOf(known.left)} and ${nameOf(known.right)}`;
    try {
      const file = await loadQuestion(index);
      if (this.#route !== known) return;
      body.append(...questionBody(file, known));
      body.removeAttribute('aria-busy');
      scrollTo(0, 0);
      const within = this.#within(known.category);
      this.#announce(`Question ${within.findIndex((q) => q.id === known.question) + 1} of ${within.length}`);
      const next = overview.questions[index + 1];
      if (next) void loadQuestion(index + 1).catch(() => undefined);
    } catch (error) {
      if (this.#route === known) body.replaceChildren(make('p', { class: 'empty' }, /** @type {Error} */ (error).message));
    }
  }

  /** @param {Partial<QuestionRoute>} change */
  #go(change) {
    if (this.#route) this.#follow(questionLink({ ...this.#route, ...change }));
  }

  /** Another category: its first question, unless the one shown belongs to it. */
  #choose(/** @type {string | null} */ category) {
    const within = this.#within(category);
    const stays = within.some((q) => q.id === this.#route?.question);
    this.#go({ category, ...(stays ? {} : { question: within[0]?.id ?? '' }) });
  }

  #within(/** @type {string | null} */ category) {
    return overview.questions.filter((q) => category === null || q.category === category);
  }

  #controls(/** @type {QuestionRoute} */ route) {
    const within = this.#within(route.category);
    const listed = within.some((q) => q.id === route.question) ? within : overview.questions;
    const at = listed.findIndex((q) => q.id === route.question);
    const models = overview.models.map(({ id, name }) => [id, name]);
    const choice = (
      /** @type {string} */ id,
      /** @type {string} */ label,
      /** @type {string[][]} */ options,
      /** @type {string} */ value,
      /** @type {(v: string) => void} */ set,
    ) => {
      const select = /** @type {HTMLSelectElement} */ (
        make('select', { id, change: () => set(select.value) }, ...options.map(([v, text]) => new Option(text, v, false, v === value)))
      );
      return make('label', { class: `choice ${id}` }, make('span', {}, label), select);
    };
    return make(
      'div',
      { class: 'controls', role: 'group', 'aria-label': 'What is shown' },
      choice('left', 'Left', models, route.left, (left) => this.#go({ left })),
      make('button', { type: 'button', id: 'swap', 'aria-label': 'Swap the sides', click: () => this.swap() }, '⇄'),
      choice('right', 'Right', models, route.right, (right) => this.#go({ right })),
      choice('category', 'Category', [['', 'all'], ...categories().map((c) => [c, c])], route.category ?? '', (c) =>
        this.#choose(c || null),
      ),
      choice(
        'which',
        'Question',
        listed.map((q) => [q.id, `${q.id}. ${q.text}`]),
        route.question,
        (question) => this.#go({ question }),
      ),
      make(
        'div',
        { class: 'steps' },
        make('button', { type: 'button', id: 'previous', 'aria-label': 'Question before', click: () => this.step(-1) }, '←'),
        make('span', { class: 'count' }, `${at + 1} of ${listed.length}`),
        make('button', { type: 'button', id: 'next', class: 'primary', 'aria-label': 'Next question', click: () => this.step(1) }, '→'),
      ),
    );
  }
}

const categories = () => [...new Set(overview.questions.map((q) => q.category))];

function questionBody(/** @type {QuestionFile} */ file, /** @type {QuestionRoute} */ route) {
  const category = overview.questions.find((q) => q.id === route.question)?.category ?? '';
  return file.turns.flatMap((text, i) => {
    const reviews = reviewsOf(file, i + 1, route);
    const reference = file.reference[i];
    return [
      make(
        'section',
        { class: 'asked', 'aria-label': 'Question' },
        make('p', { class: 'tag' }, file.turns.length > 1 ? `${category}, turn ${i + 1} of ${file.turns.length}` : category),
        make(i === 0 ? 'h1' : 'h2', {}, text),
        reference !== undefined && reference !== '' && details('Reference answer', reference),
      ),
      scoreLine(reviews, route),
      make(
        'section',
        { class: 'answers', 'aria-label': 'Answers' },
        ...[route.left, route.right].map((model) => answer(file, model, i, reviews)),
      ),
      ...reviewSection(reviews, route),
    ];
  });
}

/** What the judge said of these two, either order first, and of each alone. */
function reviewsOf(/** @type {QuestionFile} */ { reviews }, /** @type {number} */ turn, /** @type {QuestionRoute} */ { left, right }) {
  const two = [left, right];
  return reviews.filter(
    (r) => r.turn === turn && two.includes(r.first) && (r.second === null || (two.includes(r.second) && left !== right)),
  );
}

/** A model's scores in these reviews, one for each order. */
const scoresOf = (/** @type {ShownReview[]} */ reviews, /** @type {string} */ model) =>
  reviews.flatMap((r) => {
    const score = r.scores?.[r.first === model ? 0 : r.second === model ? 1 : -1];
    return score === undefined ? [] : [score];
  });

/** Both orders agree on the winner, or there is none. */
function verdict(/** @type {ShownReview[]} */ reviews, /** @type {QuestionRoute} */ { left, right }) {
  const alone = reviews.filter((r) => r.second === null);
  if (alone.length > 0) {
    const [ours, theirs] = [scoresOf(alone, left)[0], scoresOf(alone, right)[0]];
    if (ours === undefined || theirs === undefined) return null;
    return Math.abs(ours - theirs) <= TIE ? 'tie' : ours > theirs ? left : right;
  }
  const said = reviews.map((r) => r.better);
  if (said.length === 0 || said.includes(null)) return null;
  return said.every((s) => s === said[0]) ? said[0] : 'tie';
}

function scoreLine(/** @type {ShownReview[]} */ reviews, /** @type {QuestionRoute} */ route) {
  if (reviews.length === 0)
    return make(
      'p',
      { class: 'verdict none' },
      route.left === route.right ? 'The same model on both sides.' : 'These two were not judged against each other.',
    );
  const better = verdict(reviews, route);
  const text = better === null ? 'No verdict can be read.' : better === 'tie' ? 'A tie' : `${nameOf(better)} is better`;
  const differ = reviews.length === 2 && reviews.every((r) => r.second !== null) && reviews[0]?.better !== reviews[1]?.better;
  return make(
    'p',
    { class: `verdict ${better === route.right ? 'win' : better === route.left ? 'loss' : 'tie'}` },
    text,
    differ && ': the two orders do not agree',
  );
}

function answer(
  /** @type {QuestionFile} */ file,
  /** @type {string} */ model,
  /** @type {number} */ turn,
  /** @type {ShownReview[]} */ reviews,
) {
  const scores = scoresOf(reviews, model);
  const text = file.answers[model]?.[turn];
  const body = make('div', { class: 'text' });
  if (text === undefined) body.append(make('p', { class: 'quiet' }, 'There is no answer.'));
  else if (text.trim() === '') body.append(make('p', { class: 'quiet' }, 'The answer is empty.'));
  else showMarkdown(body, text);
  return make(
    'article',
    { class: 'answer' },
    make(
      'header',
      {},
      make('h2', {}, nameOf(model)),
      scores.length > 0 && make('span', { class: 'score' }, make('b', {}, scores.map(figure).join(' · ')), make('i', {}, ' / 10')),
    ),
    body,
  );
}

function reviewSection(/** @type {ShownReview[]} */ reviews, /** @type {QuestionRoute} */ route) {
  if (reviews.length === 0) return [];
  const judge = overview.report.judge ?? 'The judge';
  const order = reviews.toSorted((a, b) => Number(a.first !== route.left) - Number(b.first !== route.left));
  const one = (/** @type {ShownReview} */ r) => {
    const body = make('div', { class: 'text' });
    showMarkdown(body, r.text);
    const names =
      r.second === null
        ? `Of ${nameOf(r.first)} alone`
        : `Assistant ${r.called[0]} is ${nameOf(r.first)}, Assistant ${r.called[1]} is ${nameOf(r.second)}`;
    return make(
      'article',
      { class: 'review' },
      make('h3', {}, names),
      r.stored !== null &&
        make(
          'p',
          { class: 'note' },
          `Stored with it: ${r.stored.join(' and ')}. Its text says ${r.scores === null ? 'nothing that can be read' : r.scores.join(' and ')}.`,
        ),
      body,
    );
  };
  return [make('section', { class: 'reviews', 'aria-label': 'Reviews' }, make('h2', {}, `${judge}’s words`), ...order.map(one))];
}

function details(/** @type {string} */ title, /** @type {string} */ text) {
  const body = make('div', { class: 'text' });
  showMarkdown(body, text);
  return make('details', {}, make('summary', {}, title), body);
}

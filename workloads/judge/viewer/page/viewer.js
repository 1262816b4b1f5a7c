import { overview } from './data.js';
import { byId } from './dom.js';
import { showOverview } from './overview.js';
import { Questions } from './questions.js';
import { overviewLink, parseRoute } from './route.js';

const main = byId('main');
const questions = new Questions(main, go, (text) => {
  byId('announcer').textContent = text;
});

/** Whose overview is shown: what is linked, the run's own candidate, the one the blog published, or the first. */
function candidateOf(/** @type {string | null} */ wanted) {
  const { pairs, candidate, ratings } = overview.report;
  const all = new Set([...pairs.map((p) => p.candidate), ...Object.keys(ratings ?? {})]);
  const published = pairs.find((p) => p.published !== null)?.candidate;
  return [wanted, candidate, published].find((c) => c && all.has(c)) ?? pairs[0]?.candidate ?? '';
}

let last = candidateOf(null);
/** @type {string | null} */
let shown = null;

/** Shows it at once: hashchange comes later, and a key pressed until then would start from what was shown before. */
function go(/** @type {string} */ link) {
  location.hash = link;
  show();
}

function show() {
  if (location.hash === shown) return;
  shown = location.hash;
  const route = parseRoute(location.hash);
  const onOverview = route.view === 'overview';
  if (route.view === 'overview') {
    last = candidateOf(route.candidate);
    document.title = `${overview.report.names[last] ?? last}: evaluation`;
    showOverview(main, last);
    scrollTo(0, 0);
  } else void questions.show(route);
  byId('to-overview').setAttribute('href', overviewLink(last));
  byId('to-questions').setAttribute('href', questions.link(last));
  for (const [id, here] of [
    ['to-overview', onOverview],
    ['to-questions', !onOverview],
  ])
    if (here) byId(String(id)).setAttribute('aria-current', 'page');
    else byId(String(id)).removeAttribute('aria-current');
}

const keys = /** @type {HTMLDialogElement} */ (byId('keys'));

/** @type {Record<string, () => void>} */
const KEYS = {
  ArrowRight: () => step(1),
  n: () => step(1),
  ArrowLeft: () => step(-1),
  p: () => step(-1),
  b: () => questions.nextOpponent(),
  s: () => questions.swap(),
  c: () => questions.nextCategory(),
  o: () => go(overviewLink(last)),
  '?': () => keys.showModal(),
};

function step(/** @type {1 | -1} */ by) {
  if (parseRoute(location.hash).view === 'question') questions.step(by);
  else go(questions.link(last));
}

document.addEventListener('keydown', (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open || target.closest('select, input, textarea, pre')) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
byId('help').addEventListener('click', () => keys.showModal());
byId('copy-link').addEventListener('click', async () => {
  const done = await navigator.clipboard.writeText(location.href).then(
    () => 'Copied',
    () => 'Not allowed: copy it from the address bar',
  );
  byId('copy-link').textContent = done;
  setTimeout(() => {
    byId('copy-link').textContent = 'Copy link';
  }, 1_500);
});
addEventListener('hashchange', show);

if (overview === undefined) main.textContent = 'overview.js, which lies beside this page, cannot be loaded.';
else show();

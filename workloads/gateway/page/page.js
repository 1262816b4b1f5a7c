import { ask, listModels, Problem } from './client.js';
import { asText, History, messagesFor, titleOf } from './history.js';
import { showMarkdown } from './markdown.js';

/** @typedef {import('./history.js').Conversation} Conversation */
/** @typedef {import('./history.js').Answer} Answer */
/** @typedef {import('./history.js').Turn} Turn */

const IDEAS = [
  'Explain how a bicycle stays upright, in three sentences.',
  'Write a polite letter that asks a neighbour to turn the music down.',
  'Which questions should I ask before I rent a flat?',
];
const KEY = 'vicuna.key';
const CHOICE = 'vicuna.models';

/** @template {HTMLElement} T @param {string} id @returns {T} */
const byId = (id) => /** @type {T} */ (document.getElementById(id));
const log = byId('log');
/** @type {HTMLTextAreaElement} */ const question = byId('question');
/** @type {HTMLSelectElement} */ const modelA = byId('model-a');
/** @type {HTMLSelectElement} */ const modelB = byId('model-b');
const compareButton = byId('compare');
const history = new History(localStorage);

/** @type {Conversation} */
let conversation = empty();
let comparing = false;
/** @type {AbortController | null} */
let running = null;

function empty() {
  return { id: crypto.randomUUID?.() ?? String(Math.random()).slice(2), changedAt: Date.now(), turns: [] };
}

/** @param {string} tag @param {string} [className] @param {string} [text] */
function make(tag, className = '', text = '') {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** @param {string} text @param {() => void} onClick @param {string} [className] */
function button(text, onClick, className = '') {
  const element = /** @type {HTMLButtonElement} */ (make('button', className, text));
  element.type = 'button';
  element.addEventListener('click', onClick);
  return element;
}

function announce(/** @type {string} */ text) {
  byId('announcer').textContent = text;
}

// ── the API key

const savedKey = () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? '';

/** Asks for a key; resolves to whether one was given. @param {string} problem @returns {Promise<boolean>} */
function askForKey(problem) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('key-dialog'));
  /** @type {HTMLInputElement} */ const input = byId('key');
  byId('key-problem').textContent = problem;
  input.value = '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        const given = dialog.returnValue !== 'cancel' && input.value.trim() !== '';
        if (given) {
          const keep = /** @type {HTMLInputElement} */ (byId('keep-key')).checked;
          sessionStorage.setItem(KEY, input.value.trim());
          if (keep) localStorage.setItem(KEY, input.value.trim());
          else localStorage.removeItem(KEY);
        }
        resolve(given);
      },
      { once: true },
    );
  });
}

// ── models

async function loadModels() {
  for (;;) {
    try {
      const names = await listModels(savedKey());
      const chosen = JSON.parse(localStorage.getItem(CHOICE) ?? '[]');
      for (const [i, select] of [modelA, modelB].entries()) {
        select.replaceChildren(...names.map((name) => new Option(name, name)));
        select.value = names.includes(chosen[i]) ? chosen[i] : (names[i] ?? names[0] ?? '');
      }
      if (names.length === 0) announce('No model is served at the moment.');
      return;
    } catch (error) {
      const problem = /** @type {Problem} */ (error);
      if (problem.status === 401 && (await askForKey(problem.message))) continue;
      log.querySelector('.welcome p')?.replaceChildren(problem.message);
      return;
    }
  }
}

const models = () => (comparing ? [modelA.value, modelB.value] : [modelA.value]);

function setComparing(/** @type {boolean} */ on) {
  comparing = on;
  compareButton.setAttribute('aria-pressed', String(on));
  byId('second').hidden = !on;
}

// ── what is shown

function show() {
  log.replaceChildren();
  if (conversation.turns.length === 0) log.append(welcome());
  for (const [i, turn] of conversation.turns.entries()) log.append(turnElement(turn, i).element);
  byId('share').toggleAttribute('disabled', conversation.turns.length === 0);
  showList();
  toEnd(true);
}

function welcome() {
  const box = make('div', 'welcome');
  const icon = /** @type {HTMLImageElement} */ (make('img'));
  icon.src = '/page/icon.svg';
  icon.alt = '';
  icon.width = 52;
  const ideas = make('div', 'ideas');
  ideas.append(...IDEAS.map((idea) => button(idea, () => void send(idea))));
  box.append(
    icon,
    make('h1', '', 'What would you like to know?'),
    make('p', '', 'Open models, served from machines that come and go.'),
    ideas,
  );
  return box;
}

function showList() {
  const list = byId('conversations');
  list.replaceChildren(
    ...history.list().map((c) => {
      const item = make('li', c.id === conversation.id ? 'current' : '');
      const title = titleOf(c);
      const open = button(title, () => openConversation(c.id), 'open');
      if (c.id === conversation.id) open.setAttribute('aria-current', 'true');
      const remove = button('✕', () => removeConversation(c.id), 'remove');
      remove.setAttribute('aria-label', `Delete “${title}”`);
      item.append(open, remove);
      return item;
    }),
  );
}

/** @param {Turn} turn @param {number} index */
function turnElement(turn, index) {
  const element = make('article', turn.answers.length > 1 ? 'turn pair' : 'turn');
  element.append(make('div', 'mine', turn.question));
  const box = make('div', 'answers');
  const views = turn.answers.map((answer) => answerView(answer));
  box.append(...views.map((v) => v.element));
  element.append(box);
  const tools = make('div', 'tools');
  if (index === conversation.turns.length - 1) tools.append(button('Ask again', () => void regenerate()));
  element.append(tools);
  return { element, views, tools };
}

/** @param {Answer} answer */
function answerView(answer) {
  const element = make('div', 'answer');
  const by = make('div', 'by');
  const text = make('div', 'text');
  const state = make('p', 'state');
  const copy = make('div', 'tools');
  copy.append(
    button('Copy', () => {
      void navigator.clipboard.writeText(answer.text).catch(() => undefined);
      announce('Answer copied');
    }),
  );
  element.append(by, text, state, copy);
  let waiting = false;
  const paint = () => {
    waiting = false;
    showMarkdown(text, answer.text);
    copy.hidden = answer.text === '' || element.classList.contains('busy');
    by.replaceChildren(
      make('b', '', answer.model),
      ...(answer.worker ? [make('span', '', answer.zone ? `in ${answer.zone}` : answer.worker)] : []),
    );
    by.title = answer.worker ?? '';
    toEnd();
  };
  const tell = (/** @type {string} */ words, isWarning = false) => {
    state.textContent = words;
    state.className = isWarning ? 'state warn' : 'state';
    state.hidden = words === '';
  };
  tell(answer.problem ?? (answer.stopped ? 'Stopped.' : ''), answer.problem !== undefined);
  paint();
  return {
    element,
    tell,
    busy: (/** @type {boolean} */ on) => {
      element.classList.toggle('busy', on);
      element.setAttribute('aria-busy', String(on));
      paint();
    },
    /** At most once a frame, however fast the text comes. */
    refresh: () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(paint);
    },
  };
}

/** Keeps the end in view, unless somebody has scrolled up to read. */
function toEnd(always = false) {
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < 120;
  if (always || near) log.scrollTop = log.scrollHeight;
}

// ── asking

async function send(/** @type {string} */ text) {
  const asked = text.trim();
  if (asked === '' || running) return;
  question.value = '';
  grow();
  conversation.turns.push({ question: asked, answers: models().map((model) => ({ model, text: '' })) });
  await answerLast();
}

async function regenerate() {
  const last = conversation.turns.at(-1);
  if (!last || running) return;
  last.answers = models().map((model) => ({ model, text: '' }));
  await answerLast();
}

/** Gets the answers to the last question. */
async function answerLast() {
  const turn = /** @type {Turn} */ (conversation.turns.at(-1));
  const own = conversation;
  running = new AbortController();
  setRunning(true);
  if (own.turns.length === 1 && log.querySelector('.welcome')) log.replaceChildren();
  const { element, views, tools } = turnElement(turn, own.turns.length - 1);
  tools.hidden = true;
  for (const other of log.querySelectorAll('article > .tools')) other.replaceChildren();
  // An answer that is asked for again takes the place of the one before.
  log.querySelectorAll('article')[own.turns.length - 1]?.remove();
  log.append(element);
  toEnd(true);
  save(own);
  await Promise.all(turn.answers.map((answer, side) => answerOne(own.turns.slice(0, -1), turn, answer, side, views[side])));
  running = null;
  setRunning(false);
  tools.hidden = false;
  save(own);
  showList();
  if (turn.answers.every((a) => a.problem === undefined)) announce('The answer is complete.');
  question.focus();
}

/**
 * @param {Turn[]} before @param {Turn} turn @param {Answer} answer @param {number} side
 * @param {ReturnType<typeof answerView>} view
 */
async function answerOne(before, turn, answer, side, view) {
  const { signal } = /** @type {AbortController} */ (running);
  view.busy(true);
  view.tell('');
  try {
    for (;;) {
      try {
        const messages = [...messagesFor(before, side), { role: 'user', content: turn.question }];
        const finish = await ask({
          key: savedKey(),
          model: answer.model,
          messages,
          signal,
          onText: (text) => {
            answer.text += text;
            view.tell('');
            view.refresh();
          },
          onEvent: (what, details) => happened(what, details, answer, view),
        });
        if (finish === 'content_filter') fail(answer, view, 'The rest of this answer was held back by moderation.');
        else if (finish === 'length') view.tell('The answer reached its longest length.');
        return;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.status === 401 && (await askForKey(error.message))) continue;
        if (error.status === 429 && error.retryAfter > 0 && (await countdown(error, view, signal))) continue;
        fail(answer, view, wordsFor(error));
        return;
      }
    }
  } catch {
    answer.stopped = true;
    view.tell('Stopped.');
  } finally {
    view.busy(false);
  }
}

/** @param {string} what @param {any} details @param {Answer} answer @param {ReturnType<typeof answerView>} view */
function happened(what, details, answer, view) {
  if (what === 'queued') {
    const place = details.position === 1 ? 'You are next' : `${details.position - 1} before you`;
    view.tell(`Waiting for a worker. ${place}; ${details.waitedSeconds} s so far. A model at rest takes a while to start.`);
  } else if (what === 'worker' || what === 'continued') {
    answer.worker = details.worker;
    answer.zone = details.zone;
    if (what === 'continued') {
      view.tell('Continuing on another worker…');
      announce('Continuing on another worker');
    } else view.tell('');
    view.refresh();
  }
}

/** Waits as long as the server asks for, and says so; resolves to true to try again. Rejects when it is stopped. */
async function countdown(
  /** @type {Problem} */ error,
  /** @type {ReturnType<typeof answerView>} */ view,
  /** @type {AbortSignal} */ signal,
) {
  for (let left = Math.min(error.retryAfter, 300); left > 0; left--) {
    view.tell(`The limit is reached. Trying again in ${left} s; Esc stops.`, true);
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, 1_000);
      signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer);
          reject(new DOMException('stopped', 'AbortError'));
        },
        { once: true },
      );
    });
  }
  view.tell('');
  return true;
}

function wordsFor(/** @type {Problem} */ error) {
  if (error.code === 'content_filter') return 'This question was held back by moderation. Put it differently, or ask something else.';
  if (error.code === 'worker_failed') return 'The worker failed in the middle of the answer. Ask again to get a whole one.';
  return error.message;
}

/** @param {Answer} answer @param {ReturnType<typeof answerView>} view @param {string} words */
function fail(answer, view, words) {
  answer.problem = words;
  view.tell(words, true);
  announce(words);
}

function setRunning(/** @type {boolean} */ on) {
  byId('stop').hidden = !on;
  byId('send').hidden = on;
  byId('share').toggleAttribute('disabled', on);
}

const stop = () => running?.abort();

// ── conversations

function save(/** @type {Conversation} */ changed) {
  changed.changedAt = Date.now();
  history.save(changed);
  showList();
}

function openConversation(/** @type {string} */ id) {
  stop();
  conversation = history.get(id) ?? empty();
  const last = conversation.turns.at(-1);
  setComparing((last?.answers.length ?? 1) > 1);
  closeHistory();
  show();
  question.focus();
}

function newConversation() {
  stop();
  conversation = empty();
  closeHistory();
  show();
  question.focus();
}

function removeConversation(/** @type {string} */ id) {
  history.remove(id);
  if (conversation.id === id) newConversation();
  else showList();
}

function closeHistory() {
  document.body.classList.remove('history-open');
  byId('open-history').setAttribute('aria-expanded', 'false');
}

function share() {
  const dialog = /** @type {HTMLDialogElement} */ (byId('share-dialog'));
  const text = asText(conversation);
  /** @type {HTMLTextAreaElement} */ (byId('share-text')).value = text;
  /** @type {HTMLAnchorElement} */ (byId('share-download')).href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  dialog.showModal();
}

// ── wiring

function grow() {
  question.style.height = 'auto';
  question.style.height = `${question.scrollHeight + 2}px`;
}

byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void send(question.value);
});
question.addEventListener('input', grow);
question.addEventListener('keydown', (event) => {
  // While a word is being composed, Enter belongs to the input method.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void send(question.value);
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  if (document.body.classList.contains('history-open')) closeHistory();
  else if (!document.querySelector('dialog[open]')) stop();
});
byId('stop').addEventListener('click', stop);
byId('new').addEventListener('click', newConversation);
compareButton.addEventListener('click', () => setComparing(!comparing));
for (const select of [modelA, modelB])
  select.addEventListener('change', () => localStorage.setItem(CHOICE, JSON.stringify([modelA.value, modelB.value])));
byId('open-history').addEventListener('click', () => {
  document.body.classList.add('history-open');
  byId('open-history').setAttribute('aria-expanded', 'true');
  byId('close-history').focus();
});
byId('close-history').addEventListener('click', closeHistory);
byId('key-cancel').addEventListener('click', () => /** @type {HTMLDialogElement} */ (byId('key-dialog')).close('cancel'));
byId('share').addEventListener('click', share);
byId('share-close').addEventListener('click', () => /** @type {HTMLDialogElement} */ (byId('share-dialog')).close());
byId('share-copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText(asText(conversation)).catch(() => undefined);
  byId('share-copy').textContent = 'Copied';
  setTimeout(() => {
    byId('share-copy').textContent = 'Copy';
  }, 1_500);
});
window.addEventListener('storage', showList);

const newest = history.list()[0];
if (newest && Date.now() - newest.changedAt < 12 * 3_600_000) openConversation(newest.id);
else show();
void loadModels();
question.focus();

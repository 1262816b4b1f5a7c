import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { pageHandler } from '../../workloads/gateway/page.ts';
import { FakeModeration } from '../../workloads/gateway/testing/fake-moderation.ts';
import { answerTo } from '../../workloads/gateway/testing/fake-worker.ts';
import { GatewayStage, type StageOptions } from '../../workloads/gateway/testing/stage.ts';
import { type BrowserOptions, openBrowser } from '../browser/chromium.ts';
import { ROOT } from '../cluster/paths.ts';

const DIRECTORY = join(ROOT, 'workloads', 'gateway', 'page');
/** Where pictures are put, if anybody wants to look at them. */
const PICTURES = process.env.VICUNA_PICTURES;

/** Keeps what is announced: some of it is replaced within a moment. */
const LISTEN = `window.announced = [];
document.addEventListener('DOMContentLoaded', () => {
  const announcer = document.querySelector('#announcer');
  new MutationObserver(() => window.announced.push(announcer.textContent)).observe(announcer, { childList: true });
});`;

let stage: GatewayStage;
let page: Page;
let close: () => Promise<void>;
let problems: string[];

async function open(options: StageOptions = {}, browser: BrowserOptions = {}): Promise<void> {
  stage = await GatewayStage.start({ handlers: [pageHandler(DIRECTORY, () => true)], ...options });
  const opened = await openBrowser(browser);
  close = opened.close;
  page = opened.context.pages()[0] ?? (await opened.context.newPage());
  problems = [];
  page.on('console', (message) => {
    // A browser tells of every refused request; those that a test asks for are no fault of the page's.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  await page.addInitScript(LISTEN);
  await page.goto(stage.url);
  await holds('document.querySelector("#model-a").options.length > 0');
}

/** Waits until an expression is true in the page. The page's policy keeps waitForFunction, which evaluates text, out. */
const holds = (expression: string) =>
  vi.waitFor(async () => expect(await page.evaluate(`Boolean(${expression})`), expression).toBe(true), { timeout: 15_000, interval: 40 });
const picture = async (name: string) => {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
};
const send = async (text: string) => {
  await page.fill('#question', text);
  await page.keyboard.press('Enter');
};
const answers = () => page.locator('.answer .text').allInnerTexts();
const finished = () => holds('document.querySelector("#stop").hidden && document.querySelectorAll(".answer").length > 0');
/** As the page shows it: words with single spaces. */
const said = (question: string, pieces = 12) => answerTo(question, pieces).join('').trim();

beforeEach(() => {
  problems = [];
});
afterEach(async () => {
  await close?.();
  await stage?.stop();
  expect(problems).toEqual([]);
});

describe('the chat page', () => {
  it('answers, keeps the conversation over a reload, and asks again', async () => {
    await open();
    await picture('welcome');
    await send('hello');
    await finished();
    expect(await answers()).toEqual([said('hello')]);
    expect(await page.locator('.by').textContent()).toContain('in zone-a');
    await send('and more');
    await finished();
    expect(stage.workers.flatMap((w) => w.asked.map((a) => (a.body.messages as unknown[]).length)).toSorted()).toEqual([1, 3]);
    await picture('chat');
    await page.reload();
    await holds('document.querySelectorAll(".answer").length === 2');
    expect((await answers())[0]).toBe(said('hello'));
    await page.getByRole('button', { name: 'Ask again' }).click();
    await finished();
    expect(await page.locator('.answer').count()).toBe(2);
  });

  it('compares two models side by side', async () => {
    await open({ config: { models: [{ name: 'tiny', aliases: ['vicuna-13b'] }] } });
    await page.click('#compare');
    await page.selectOption('#model-b', 'vicuna-13b');
    await send('which one?');
    await finished();
    expect(await answers()).toEqual([said('which one?'), said('which one?')]);
    expect(await page.locator('.by b').allInnerTexts()).toEqual(['tiny', 'vicuna-13b']);
    await picture('compare');
  });

  it('goes on when the worker dies in the middle, and says so', async () => {
    await open({ workers: [{ pace: 40 }, { pace: 40 }] });
    for (const worker of stage.workers) worker.fault = { kind: 'dies', after: 5 };
    stage.seat(stage.workers.slice(0, 1));
    await send('hello');
    await vi.waitFor(() => expect(stage.workers[0]?.asked.length).toBe(1));
    const [, second] = stage.workers;
    if (second) second.fault = { kind: 'none' };
    stage.seat(stage.workers.slice(1));
    await holds('window.announced.includes("Continuing on another worker")');
    await picture('continued');
    await finished();
    expect(await answers()).toEqual([said('hello')]);
  });

  it('shows the queue of a model at rest', async () => {
    await open();
    stage.seat([]);
    await send('hello');
    await holds('document.querySelector(".state").textContent.includes("You are next")');
    await picture('queue');
    stage.seat();
    await finished();
    expect(await answers()).toEqual([said('hello')]);
  });

  it('shows what moderation holds back, and the rest of an answer never', async () => {
    const moderation = await FakeModeration.start(['forbidden', 'jumps']);
    const config = { moderation: { url: moderation.url, on: ['input', 'output'], whenUnavailable: 'block', timeoutSeconds: 2 } };
    await open({ config: { models: [{ name: 'tiny' }], ...config }, workers: [{ pieces: 60 }] });
    await send('something forbidden');
    await finished();
    expect(await page.locator('.state.warn').textContent()).toContain('held back by moderation');
    expect(stage.workers[0]?.asked).toEqual([]);
    await send('tell me a story');
    await finished();
    expect((await page.locator('.state.warn').allInnerTexts()).at(-1)).toContain('The rest of this answer was held back');
    expect((await answers()).join()).not.toContain('jumps');
    await picture('moderation');
    await moderation.stop();
  });

  it('asks for an API key, and waits where the limit is reached', async () => {
    const { directory, remove } = keyDirectory({ key: 'a-good-key-1', requestsPerMinute: 1 });
    const gateway = { config: { models: [{ name: 'tiny' }], apiKeys: { directory } }, handlers: [pageHandler(DIRECTORY, () => true)] };
    await openWithKey(gateway);
    await picture('key');
    await page.fill('#key', 'a-good-key-1');
    await page.getByRole('button', { name: 'Use it' }).click();
    await holds('document.querySelector("#model-a").options.length > 0');
    await send('hello');
    await finished();
    expect(await answers()).toEqual([said('hello')]);
    await send('again');
    await holds('document.querySelector(".state.warn")?.textContent.includes("Trying again in")');
    await picture('limit');
    await page.keyboard.press('Escape');
    await finished();
    expect((await page.locator('.state').allInnerTexts()).at(-1)).toBe('Stopped.');
    remove();
  });

  it('stops an answer at the worker, too, by keyboard alone', async () => {
    await open({ workers: [{ pace: 30, pieces: 2_000 }] });
    await page.keyboard.type('a long one');
    await page.keyboard.press('Enter');
    await holds('document.querySelector(".answer .text")?.textContent.length > 10');
    await page.keyboard.press('Escape');
    await finished();
    await vi.waitFor(() => expect(stage.workers[0]).toMatchObject({ running: 0, cancelled: 1 }));
    expect(await page.locator('.state').textContent()).toBe('Stopped.');
    expect(await page.evaluate('document.activeElement.id')).toBe('question');
  });

  it('shares a conversation as text', async () => {
    await open();
    await send('hello');
    await finished();
    await page.click('#share');
    const text = `You:\nhello\n\ntiny:\n${answerTo('hello', 12).join('')}`;
    expect(await page.inputValue('#share-text')).toBe(text);
    await page.click('#share-copy');
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(text);
    await picture('share');
  });

  it('fits a phone of 360 px, light and dark', async () => {
    await open({}, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
    await page.click('#compare');
    await send('hello');
    await finished();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    await picture('phone');
    await page.click('#open-history');
    await page.waitForTimeout(250);
    await picture('phone-history');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    await page.keyboard.press('Escape');
    expect(await page.locator('body.history-open').count()).toBe(0);
  });

  it('is served under a strict policy, and again only when it has changed', async () => {
    await open();
    const first = await fetch(stage.url);
    expect(first.headers.get('content-security-policy')).toContain("default-src 'self'");
    const again = await fetch(stage.url, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
    for (const path of ['/page/page.test.ts', '/page/../main.ts', '/page/%2e%2e/main.ts', '/page/'])
      expect((await fetch(stage.url + path)).status).toBe(404);
  });
});

async function openWithKey(options: StageOptions): Promise<void> {
  stage = await GatewayStage.start(options);
  const opened = await openBrowser();
  close = opened.close;
  page = opened.context.pages()[0] ?? (await opened.context.newPage());
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(stage.url);
  await page.waitForSelector('#key-dialog[open]');
}

function keyDirectory(key: object): { directory: string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'vicuna-keys-'));
  writeFileSync(join(directory, 'someone'), JSON.stringify(key));
  return { directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

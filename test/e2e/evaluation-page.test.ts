import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { viewer } from '../../workloads/judge/commands.ts';
import { openBrowser } from '../browser/chromium.ts';
import { ROOT } from '../cluster/paths.ts';

const EVALUATION = join(ROOT, 'examples', 'evaluation');
const PICTURES = process.env.VICUNA_PICTURES;
const VICUNA = 'vicuna-13b:20230322-clean-lang';

let scratch: string;
let site: string;
let context: BrowserContext;
let close: () => Promise<void>;
let page: Page;
let problems: string[];

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'vicuna-viewer-'));
  site = join(scratch, 'blog');
  await viewer(EVALUATION, site);
  ({ context, close } = await openBrowser());
});
afterAll(async () => {
  await close();
  rmSync(scratch, { recursive: true, force: true });
});
beforeEach(async () => {
  problems = [];
  page = await context.newPage();
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('dialog', (dialog) => {
    problems.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
});
afterEach(async () => {
  await page.close();
  expect(problems).toEqual([]);
});

const open = (url: string) => page.goto(url);
const home = (directory = site) => `file://${directory}/index.html`;
const holds = (expression: string) =>
  vi.waitFor(async () => expect(await page.evaluate(`Boolean(${expression})`), expression).toBe(true), { timeout: 10_000, interval: 30 });
const question = (text: string) => holds(`document.querySelector('.asked h1')?.textContent.startsWith(${JSON.stringify(text)})`);
const texts = (selector: string) => page.locator(selector).allInnerTexts();
const picture = async (name: string) => {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
};

describe('the evaluation page, opened from a file', () => {
  it('shows Table 2, the bars and Figure 1 of the blog post first', async () => {
    await open(home());
    expect(await page.title()).toBe('Vicuna-13B: evaluation');
    const rows = await page
      .locator('tbody tr')
      .evaluateAll((all) => all.map((row) => [...row.children].slice(0, 3).map((c) => c.textContent)));
    expect(rows).toEqual([
      ['LLaMA-13B', '513', '694'],
      ['Alpaca-13B', '583', '704'],
      ['Bard', '664', '655.5'],
      ['ChatGPT', '693', '638'],
    ]);
    expect(await texts('.wins .value')).toEqual(['77 · 0 · 3', '76 · 1 · 3', '40 · 10 · 30', '14 · 22 · 44']);
    const quality = page.locator('section', { hasText: 'Relative quality' }).last();
    expect(await quality.locator('.value').allInnerTexts()).toEqual(['68 %', '76 %', '92 %', '93 %', '100 %']);
    expect(await page.locator('.wins a').last().getAttribute('aria-label')).toBe('Against ChatGPT: 14 wins, 22 ties, 44 losses');
    await picture('overview');
  });

  it('goes from question to question by one key, and keeps the place in a link', async () => {
    await open(home());
    await page.keyboard.press('ArrowRight');
    await question('How can I improve my time management skills?');
    expect(await texts('.answer h2')).toEqual(['Alpaca-13B', 'Vicuna-13B']);
    for (let i = 0; i < 2; i++) await page.keyboard.press('n');
    await question('What are the main differences between Python');
    await page.keyboard.press('b');
    await holds('document.querySelector(".answer h2").textContent === "Bard"');
    await page.keyboard.press('s');
    await holds('document.querySelector(".answer h2").textContent === "Vicuna-13B"');
    await picture('question');
    const link = page.url();
    expect(link).toContain(`#/3/${encodeURIComponent(VICUNA)}/${encodeURIComponent('bard:20230327')}`);
    await page.keyboard.press('ArrowLeft');
    await question('What are the most effective ways');
    await page.goBack();
    await question('What are the main differences');
    await page.goto('about:blank');
    await page.goto(link);
    await question('What are the main differences');
    await page.keyboard.press('o');
    await holds('document.querySelector(".wins")');
    await page.keyboard.press('ArrowRight');
    await question('What are the main differences');
  });

  it('counts every key, however fast they come', async () => {
    await open(home());
    await page.evaluate(
      `for (const key of ['n', 'n', 'n', 'p', 'n']) document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))`,
    );
    await question('What are the main differences between Python');
  });

  it('is worked by what is seen, too: models, category, question, and the focus stays', async () => {
    await open(home());
    await page.locator('.categories a', { hasText: 'coding' }).click();
    await question('Develop a C++ program');
    expect(await texts('.count')).toEqual(['1 of 7']);
    await page.click('#next');
    await question('Implement a Python function');
    expect(await page.evaluate('document.activeElement.id')).toBe('next');
    await page.selectOption('#left', { label: 'LLaMA-13B' });
    await holds('document.querySelector(".answer h2").textContent === "LLaMA-13B"');
    await page.selectOption('#category', 'math');
    await question('Given that f(x)');
    await page.selectOption('#which', '70');
    await question('If the endpoints');
    expect(await texts('.score')).toEqual(['10 / 10', '4 / 10']);
    expect(await texts('.note')).toEqual(['Stored with it: 10 and 2. Its text says 10 and 4.']);
    expect(await texts('.verdict')).toEqual(['LLaMA-13B is better']);
    expect(await texts('.review h3')).toEqual(['Assistant 1 is LLaMA-13B, Assistant 2 is Vicuna-13B']);
    await page.selectOption('#left', { label: 'Vicuna-7B' });
    await holds('document.querySelector(".verdict").textContent.startsWith("These two were not judged")');
    // Arrows belong to the list that has the focus.
    await page.focus('#which');
    await page.keyboard.press('c');
    await question('If the endpoints');
  });

  it('copies its link, tells its keys, and says what it does not have', async () => {
    await open(home());
    await page.keyboard.press('?');
    expect(await page.locator('#keys').isVisible()).toBe(true);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Escape');
    await holds('document.querySelector(".wins")');
    await page.click('#copy-link');
    await holds('document.querySelector("#copy-link").textContent === "Copied"');
    await page.goto(`${home()}#/900/a/b`);
    await holds('document.querySelector(".empty")?.textContent.includes("no question 900")');
    await page.goto(`${home()}#/1/nobody/${encodeURIComponent(VICUNA)}`);
    await holds('document.querySelector(".empty")?.textContent.includes("no model nobody")');
  });

  it.each(['light', 'dark'] as const)('fits a phone of 360 px, %s', async (colorScheme) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await page.emulateMedia({ colorScheme });
    await open(home());
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    await picture(`phone-${colorScheme}`);
    await page.goto(`${home()}#/61/${encodeURIComponent('gpt-3.5-turbo:20230327')}/${encodeURIComponent(VICUNA)}`);
    await question('Develop a C++ program');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    for (const id of ['next', 'previous', 'swap']) {
      const box = await page.locator(`#${id}`).boundingBox();
      expect(Math.min(box?.width ?? 0, box?.height ?? 0)).toBeGreaterThanOrEqual(36);
    }
    await picture(`phone-question-${colorScheme}`);
  });

  it('names every control, and has one first heading in each view', async () => {
    await open(home());
    for (const hash of ['', `#/1/${encodeURIComponent('bard:20230327')}/${encodeURIComponent(VICUNA)}`]) {
      await page.goto(home() + hash);
      await holds('document.querySelectorAll("h1").length === 1');
      const nameless = await page
        .locator('button, a, select')
        .evaluateAll((all) =>
          all
            .filter((e) => !(e.getAttribute('aria-label') ?? '').trim() && !e.closest('label') && !e.textContent?.trim())
            .map((e) => e.outerHTML),
        );
      expect(nameless).toEqual([]);
    }
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.className')).toBe('skip');
  });
});

describe('what other people wrote', () => {
  const HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)> [x](javascript:alert(3)) `<b>`\u2028';

  it('is text and nothing else, and both orders are shown', async () => {
    const data = join(scratch, 'own');
    mkdirSync(join(data, 'answer'), { recursive: true });
    mkdirSync(join(data, 'review'));
    const lines = (name: string, records: readonly object[]) =>
      writeFileSync(join(data, name), records.map((r) => `${JSON.stringify(r)}\n`).join(''));
    lines('question.jsonl', [{ question_id: 'q-1', text: HOSTILE, category: '<b>x</b>' }]);
    for (const model of ['a', 'b'])
      lines(`answer/answer_${model}.jsonl`, [{ answer_id: model, model_id: model, question_id: 'q-1', text: `${model} ${HOSTILE}` }]);
    const review = { question_id: 'q-1', reviewer_id: HOSTILE };
    lines('review/review_a_b.jsonl', [
      { ...review, review_id: '1', answer1_id: 'a', answer2_id: 'b', text: `9 8\n${HOSTILE}` },
      { ...review, review_id: '2', answer1_id: 'b', answer2_id: 'a', text: `9 7\n${HOSTILE}` },
    ]);
    const out = join(scratch, 'own-viewer');
    await viewer(data, out);
    await open(home(out));
    await page.keyboard.press('ArrowRight');
    await question('</script><script>alert(1)</script>');
    expect(await texts('.verdict')).toEqual(['A tie: the two orders do not agree']);
    expect(await texts('.score')).toEqual(['9 · 7 / 10', '8 · 9 / 10']);
    expect(await texts('.review h3')).toEqual(['Assistant 1 is a, Assistant 2 is b', 'Assistant 1 is b, Assistant 2 is a']);
    expect(await page.locator('main script, main img, main b:not(.score b), main a[href^="javascript"]').count()).toBe(0);
    await page.waitForTimeout(50); // an alert would come at once
  });
});

describe('behind a server', () => {
  const TYPES: Readonly<Record<string, string>> = {
    '.html': 'text/html',
    '.css': 'text/css',
    '.js': 'text/javascript',
    '.svg': 'image/svg+xml',
  };
  let server: Server;
  const missing = new Set<string>();

  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = new URL(request.url ?? '/', 'http://localhost').pathname.replace(/^\/some\/where\//, '');
      if (missing.has(path)) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'text/plain', 'x-content-type-options': 'nosniff' });
      response.end(readFileSync(join(site, path)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('works the same below any path, and says when a file is missing', async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/some/where/index.html`;
    missing.add('questions/2.js');
    await open(`${url}#/2/${encodeURIComponent('bard:20230327')}/${encodeURIComponent(VICUNA)}`);
    await question('What are the most effective ways');
    await page.keyboard.press('n');
    await holds('document.querySelector(".empty")?.textContent === "questions/2.js cannot be loaded"');
    missing.clear();
    await page.keyboard.press('p');
    await question('What are the most effective ways');
    await page.keyboard.press('n');
    await question('What are the main differences');
    problems = problems.filter((text) => !text.includes('404'));
  });
});

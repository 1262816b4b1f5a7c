import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type ViewportSize } from 'playwright-core';
import { ensurePackages } from '../cluster/apt.ts';

const PATH = '/usr/bin/chromium';
/** Without these a browser looks for the outside world at every start. */
const QUIET = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export interface BrowserOptions {
  readonly viewport?: ViewportSize;
  readonly colorScheme?: 'light' | 'dark';
}

/** A real browser with nothing in it; Debian's Chromium is installed where it is missing. */
export async function openBrowser({ viewport = { width: 1180, height: 820 }, colorScheme = 'light' }: BrowserOptions = {}): Promise<{
  readonly context: BrowserContext;
  close(): Promise<void>;
}> {
  await ensurePackages({ chromium: PATH });
  const profile = mkdtempSync(join(tmpdir(), 'vicuna-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: PATH,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', ...QUIET],
    viewport,
    colorScheme,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, close };
}

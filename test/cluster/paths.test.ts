import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheDirectory } from './paths.ts';

let scratch: string;
beforeEach(() => {
  scratch = realpathSync(mkdtempSync(join(tmpdir(), 'vicuna-paths-')));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

describe('the cache directory', () => {
  it('is told without symbolic links, as /proc tells executables and mounts, also before it exists', () => {
    mkdirSync(join(scratch, 'disk'));
    symlinkSync(join(scratch, 'disk'), join(scratch, 'link'));
    expect(cacheDirectory({ VICUNA_CACHE: join(scratch, 'link') })).toBe(join(scratch, 'disk'));
    expect(cacheDirectory({ XDG_CACHE_HOME: join(scratch, 'link') })).toBe(join(scratch, 'disk', 'vicuna-operator'));
  });

  it('is absolute, since containerd takes no other', () => {
    expect(isAbsolute(cacheDirectory({ VICUNA_CACHE: 'cache' }))).toBe(true);
  });

  it('takes a variable that is set to nothing for one that is not set', () => {
    const usual = cacheDirectory({});
    expect(usual.startsWith(realpathSync(homedir()))).toBe(true);
    expect(cacheDirectory({ VICUNA_CACHE: '', XDG_CACHE_HOME: '' })).toBe(usual);
  });
});

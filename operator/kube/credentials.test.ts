import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadCredentials } from './credentials.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'credentials-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const base64 = (text: string) => Buffer.from(text).toString('base64');

function kubeconfig(user: object, cluster: object = {}, currentContext = 'c'): string {
  const path = join(directory, `${Math.random()}.kubeconfig`);
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': currentContext,
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
      clusters: [{ name: 'k', cluster: { server: 'https://api:6443', 'certificate-authority-data': base64('CA'), ...cluster } }],
      users: [{ name: 'u', user }],
    }),
  );
  return path;
}

// Each starts a process.
describe('a kubeconfig', { timeout: 60_000 }, () => {
  it('with certificates, a server name and a proxy', async () => {
    const path = kubeconfig(
      { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') },
      { 'tls-server-name': 'kubernetes', 'proxy-url': 'http://proxy:3128' },
    );
    expect(await loadCredentials(path)).toEqual({
      server: 'https://api:6443',
      ca: 'CA',
      cert: 'CERT',
      key: 'KEY',
      servername: 'kubernetes',
      proxy: 'http://proxy:3128',
      rejectUnauthorized: true,
    });
  });

  it('with an exec plugin, as clouds give them', async () => {
    const credential = JSON.stringify({
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'from-plugin' },
    });
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'echo', args: [credential], interactiveMode: 'Never' };
    expect((await loadCredentials(kubeconfig({ exec }))).authorization).toBe('Bearer from-plugin');
  });

  it('with a token, a password, or TLS unchecked', async () => {
    const [token, password, unchecked] = await Promise.all([
      loadCredentials(kubeconfig({ token: 'secret' })),
      loadCredentials(kubeconfig({ username: 'u', password: 'p' })),
      loadCredentials(kubeconfig({ token: 'x' }, { 'insecure-skip-tls-verify': true })),
    ]);
    expect(token.authorization).toBe('Bearer secret');
    expect(password.authorization).toBe(`Basic ${base64('u:p')}`);
    expect(unchecked.rejectUnauthorized).toBe(false);
  });

  it("with a token's file, named relative to the kubeconfig, which may not exist yet", async () => {
    const { tokenFile, authorization } = await loadCredentials(kubeconfig({ tokenFile: 'tokens/mine' }));
    expect(tokenFile).toBe(join(directory, 'tokens/mine'));
    expect(authorization).toBeUndefined();
  });

  it('that acts as somebody else', async () => {
    expect(await loadCredentials(kubeconfig({ token: 'x', as: 'jane' }))).toMatchObject({ impersonate: 'jane' });
  });

  it('that cannot be used is refused in one sentence that names it', async () => {
    const [missing, noContext] = [join(directory, 'missing'), kubeconfig({}, {}, '')];
    await expect(loadCredentials(missing)).rejects.toThrow(`${missing} cannot be read: ENOENT`);
    await expect(loadCredentials(noContext)).rejects.toThrow('has no current cluster: set current-context');
  });

  it('by another context than the current one, with its namespace', async () => {
    const path = kubeconfig({ token: 'x' });
    const config = JSON.parse(readFileSync(path, 'utf8'));
    config.contexts.push({ name: 'other', context: { cluster: 'k', user: 'u', namespace: 'ml' } });
    writeFileSync(path, JSON.stringify(config));
    expect((await loadCredentials(path)).namespace).toBeUndefined();
    expect((await loadCredentials(path, 'other')).namespace).toBe('ml');
    await expect(loadCredentials(path, 'mars')).rejects.toThrow('there is no context "mars" in it');
  });

  it('that nobody has written is missed in a sentence', async () => {
    vi.stubEnv('KUBECONFIG', join(directory, 'missing'));
    try {
      await expect(loadCredentials(null)).rejects.toThrow('the default kubeconfig cannot be read: there is none: set KUBECONFIG');
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

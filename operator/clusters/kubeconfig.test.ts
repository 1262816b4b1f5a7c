import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { credentialsOf } from './kubeconfig.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

function kubeconfig(user: object, cluster: object = {}): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster: { server: 'https://west.example:6443', 'certificate-authority-data': base64('CA'), ...cluster } }],
    users: [{ name: 'u', user }],
  });
}

describe("a remote cluster's kubeconfig", () => {
  it('gives a token, or a client certificate, and the authority to check the server by', () => {
    expect(credentialsOf(kubeconfig({ token: 't' }))).toMatchObject({
      server: 'https://west.example:6443',
      ca: 'CA',
      authorization: 'Bearer t',
      rejectUnauthorized: true,
    });
    const certificate = { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') };
    expect(credentialsOf(kubeconfig(certificate))).toMatchObject({ cert: 'CERT', key: 'KEY', authorization: undefined });
  });

  it('runs no program and reads no file, whatever it asks for', () => {
    for (const user of [
      { exec: { command: 'sh' } },
      { 'auth-provider': { name: 'gcp' } },
      { tokenFile: '/etc/shadow' },
      { 'client-key': '/k' },
    ])
      expect(() => credentialsOf(kubeconfig({ token: 't', ...user }))).toThrow(/which is refused: give a token/);
    expect(() => credentialsOf(kubeconfig({ token: 't' }, { 'certificate-authority': '/ca' }))).toThrow(/names a file/);
    // A server's certificate is checked, even where the file says otherwise.
    expect(credentialsOf(kubeconfig({ token: 't' }, { 'insecure-skip-tls-verify': true })).rejectUnauthorized).toBe(true);
  });

  it('is refused in one sentence, and never quoted', () => {
    const wrong: [string, RegExp][] = [
      ['', /is empty/],
      ['{secret-token', /is no YAML/],
      ['just text', /is empty/],
      ['a: &x [secret-token]\nb: *x', /is no YAML/],
      [kubeconfig({}), /neither a token nor a client certificate/],
      [kubeconfig({ 'client-certificate-data': base64('c') }), /neither a token nor/],
      [kubeconfig({ token: 'secret-token' }, { server: 'http://west' }), /names no server/],
      [kubeconfig({ token: 'secret-token' }).replace('current-context: c', 'current-context: other'), /no current context/],
      ['x'.repeat(70_000), /larger than 64 KiB/],
    ];
    for (const [text, sentence] of wrong) {
      expect(() => credentialsOf(text), text.slice(0, 40)).toThrow(sentence);
      expect(() => credentialsOf(text)).not.toThrow(/secret-token/);
    }
  });
});

import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';

/** A certificate authority of the cluster's own, made on the spot, good for as long as the cluster lives. */
export class Pki {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get ca(): string {
    return this.file('ca.crt');
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  async create(): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    await run('openssl', [
      'req',
      '-x509',
      ...KEY,
      '-nodes',
      '-days',
      '30',
      '-subj',
      '/CN=vicuna-embedded',
      '-keyout',
      this.file('ca.key'),
      '-out',
      this.ca,
    ]);
    await run('openssl', ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', this.file('service-account.key')]);
    await run('openssl', ['pkey', '-in', this.file('service-account.key'), '-pubout', '-out', this.file('service-account.pub')]);
  }

  /** Issues `<name>.crt` and `<name>.key` for a user (subject "/O=group/CN=user") or a server. */
  async issue(name: string, subject: string, addresses: readonly string[] = []): Promise<void> {
    const alternatives = addresses.map((a) => (/^[0-9.]+$/.test(a) ? `IP:${a}` : `DNS:${a}`)).join(',');
    const extensions = `extendedKeyUsage=clientAuth,serverAuth\n${alternatives ? `subjectAltName=${alternatives}\n` : ''}`;
    writeFileSync(this.file(`${name}.ext`), extensions);
    await run('openssl', [
      'req',
      '-new',
      ...KEY,
      '-nodes',
      '-subj',
      subject,
      '-keyout',
      this.file(`${name}.key`),
      '-out',
      this.file(`${name}.csr`),
    ]);
    const authority = ['-CA', this.ca, '-CAkey', this.file('ca.key'), '-set_serial', `0x${randomBytes(16).toString('hex')}`];
    await run('openssl', [
      'x509',
      '-req',
      '-in',
      this.file(`${name}.csr`),
      ...authority,
      '-days',
      '30',
      '-extfile',
      this.file(`${name}.ext`),
      '-out',
      this.file(`${name}.crt`),
    ]);
  }

  /** Writes a kubeconfig for the user of an issued certificate. */
  kubeconfig(path: string, name: string, server: string): void {
    const data = (file: string) => readFileSync(this.file(file)).toString('base64');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'embedded', cluster: { server, 'certificate-authority-data': data('ca.crt') } }],
      users: [{ name, user: { 'client-certificate-data': data(`${name}.crt`), 'client-key-data': data(`${name}.key`) } }],
      contexts: [{ name: 'embedded', context: { cluster: 'embedded', user: name } }],
      'current-context': 'embedded',
    };
    writeFileSync(path, JSON.stringify(config, null, 2), { mode: 0o600 });
  }
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

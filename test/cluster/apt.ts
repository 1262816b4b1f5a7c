import { existsSync } from 'node:fs';
import { attempt, run } from './run.ts';

/** Debian packages by a file that shows they are there. */
const PACKAGES: Readonly<Record<string, string>> = {
  runc: '/usr/sbin/runc',
  mmdebstrap: '/usr/bin/mmdebstrap',
  iproute2: '/sbin/ip',
  nftables: '/usr/sbin/nft',
  conntrack: '/usr/sbin/conntrack',
  openssl: '/usr/bin/openssl',
};

/** Installs what is missing of the Debian packages that real nodes need, or of others. */
export async function ensurePackages(packages: Readonly<Record<string, string>> = PACKAGES): Promise<void> {
  const missing = Object.entries(packages).filter(([, file]) => !existsSync(file));
  if (missing.length === 0) return;
  const names = missing.map(([name]) => name);
  if (!existsSync('/usr/bin/apt-get'))
    throw new Error(`this machine lacks ${names.join(', ')} and has no apt-get: install them with its own package manager`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await attempt('apt-get', ['update', '-qq']);
  await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], { env });
}

import { writeFileSync } from 'node:fs';
import { attempt, run } from './run.ts';

/** The bridge whose address pods on every node and processes of the machine reach: API server, operator, S3 and DNS listen there. */
const HOST_INDEX = 0;
const LAST_INDEX = 254;

export function bridgeName(index: number): string {
  return `vcn${index}`;
}

/** The machine's address in the network of the node's pods, 10.200.<index>.0/24. */
export function gatewayAddress(index: number): string {
  return `10.200.${index}.1`;
}

/** Another cluster uses this machine's network. */
export class NetworkInUse extends Error {
  /** Directory of the other cluster; empty when the bridge does not say. */
  readonly holder: string;

  constructor(holder: string) {
    super(
      `the network bridge ${bridgeName(HOST_INDEX)} is in use${holder ? ` by the cluster in ${holder}` : '; if nothing needs it, remove it: ip link delete vcn0'}`,
    );
    this.holder = holder;
  }
}

/**
 * Makes the machine's side of the cluster's network and returns its address. A machine carries one cluster at a time, since kube-proxy
 * has one table of rules per machine: the kernel makes a name once, so the bridge is the claim, and its alias says whose.
 */
export async function claimNetwork(directory: string): Promise<string> {
  const bridge = bridgeName(HOST_INDEX);
  if ((await attempt('ip', ['link', 'add', 'name', bridge, 'type', 'bridge'])) === null) {
    const existing = (await bridges()).find((b) => b.name === bridge);
    if (existing?.owner !== directory) throw new NetworkInUse(existing?.owner ?? '');
  }
  await configure(bridge, HOST_INDEX, directory);
  return gatewayAddress(HOST_INDEX);
}

/** Makes the bridge of a node's pods. */
export async function makeBridge(index: number, directory: string): Promise<void> {
  const bridge = bridgeName(index);
  await attempt('ip', ['link', 'delete', bridge]);
  await run('ip', ['link', 'add', 'name', bridge, 'type', 'bridge']);
  await configure(bridge, index, directory);
}

async function configure(bridge: string, index: number, owner: string): Promise<void> {
  await run('ip', ['link', 'set', bridge, 'alias', owner]);
  await run('ip', ['addr', 'replace', `${gatewayAddress(index)}/24`, 'dev', bridge]);
  await run('ip', ['link', 'set', bridge, 'up']);
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
}

/** The lowest index whose bridge is in nobody's use, starting after `last` and coming round: addresses of a lost node rest a while. */
export function nextIndex(last: number, taken: ReadonlySet<number>): number {
  for (let step = 1; step <= LAST_INDEX; step++) {
    const index = ((last + step - 1) % LAST_INDEX) + 1;
    if (!taken.has(index)) return index;
  }
  throw new Error(`there are ${LAST_INDEX} nodes already: the network of the embedded cluster has no room for more`);
}

export async function removeBridge(index: number): Promise<void> {
  await attempt('ip', ['link', 'delete', bridgeName(index)]);
}

/** Removes what the cluster in `directory` has put into the machine's network; another cluster's is left alone. */
export async function removeNetwork(directory: string): Promise<void> {
  const own = (await bridges()).filter((b) => b.owner === directory).map((b) => b.name);
  if (own.includes(bridgeName(HOST_INDEX))) {
    for (const family of ['ip', 'ip6']) await attempt('nft', ['delete', 'table', family, 'kube-proxy']);
  }
  // The claim goes last: until then no other cluster can begin.
  for (const bridge of own.toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }))) await attempt('ip', ['link', 'delete', bridge]);
}

async function bridges(): Promise<{ name: string; owner: string }[]> {
  const links = JSON.parse((await run('ip', ['-json', 'link', 'show', 'type', 'bridge'])) || '[]') as {
    ifname: string;
    ifalias?: string;
  }[];
  return links.map((link) => ({ name: link.ifname, owner: link.ifalias ?? '' }));
}

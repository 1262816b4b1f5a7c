// Waits beside a cluster until the process that started it has ended, however it did, and removes what is left then: the pipe closes
// when its other end dies, also by kill -9. Started by `Cluster.start`, with the cluster's directory; "keep" on the pipe sends it home.
import { text } from 'node:stream/consumers';
import { removeRemains } from './remains.ts';

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: reaper.ts DIRECTORY');
const word = await text(process.stdin);
if (word !== 'keep') await removeRemains(directory);

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

function columns(file: string): string[][] {
  const [, ...lines] = gunzipSync(readFileSync(file)).toString().trim().split('\n');
  return lines.map((line) => line.trim().split(','));
}

/** Seconds from the first request to each, of a gzipped table `TIMESTAMP,…` with times like "2023-11-16 18:15:46.6805900" (UTC). */
export function readRequestTimes(file: string): number[] {
  const times = columns(file).map(([stamp = ''], i) => {
    const [whole = '', fraction = '0'] = stamp.split('.');
    const seconds = Date.parse(`${whole.replace(' ', 'T')}Z`) / 1_000 + Number(`0.${fraction}`);
    if (Number.isNaN(seconds)) throw new Error(`${file}, line ${i + 2}: "${stamp}" is no time`);
    return seconds;
  });
  const first = times[0] ?? 0;
  return times.map((time) => time - first);
}

/** Requests of each minute, of a gzipped table `Time (min),Requests`. */
export function readMinuteCounts(file: string): number[] {
  return columns(file).map(([minute, requests], i) => {
    if (!(Number(requests) >= 0)) throw new Error(`${file}, line ${i + 2}: "${requests}" requests in minute ${minute}`);
    return Number(requests);
  });
}

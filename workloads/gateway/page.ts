import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Handler } from './server.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const SECURITY: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
};

interface File {
  readonly type: string;
  readonly body: Buffer;
  readonly etag: string;
}

/** Serves the chat page: `/` and `/page/NAME`. Files are read once; only these names exist. */
export function pageHandler(directory: string, enabled: () => boolean): Handler {
  const files = new Map<string, File>();
  for (const name of readdirSync(directory)) {
    const type = TYPES[extname(name)];
    if (type === undefined || name.includes('.test.')) continue;
    const body = readFileSync(join(directory, name));
    const file = { type, body, etag: `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"` };
    files.set(name === 'index.html' ? '/' : `/page/${name}`, file);
  }
  return (request, response, path) => {
    const file = files.get(path);
    if (!file || !enabled() || (request.method !== 'GET' && request.method !== 'HEAD')) return false;
    if (request.headers['if-none-match'] === file.etag) {
      response.writeHead(304, { ...SECURITY, etag: file.etag });
      response.end();
      return true;
    }
    response.writeHead(200, { ...SECURITY, 'content-type': file.type, 'content-length': file.body.length, etag: file.etag });
    response.end(request.method === 'HEAD' ? undefined : file.body);
    return true;
  };
}

import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError } from './api-error.ts';

/** What Node's HTTP parser calls its reasons, where they deserve another answer than 400. */
const REASONS: Readonly<Record<string, readonly [status: number, phrase: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'The request’s headers are larger than 16 KiB.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'The request’s headers did not come in time.'],
};
const MALFORMED = [400, 'Bad Request', 'This is no HTTP request.'] as const;

/** Answers what Node could not read as a request, and ends the connection. */
export function refuseMalformed(error: Error & { code?: string }, socket: Duplex): void {
  const answering = (socket as Duplex & { _httpMessage?: ServerResponse })._httpMessage;
  // In the midst of an answer more words would be taken for a part of it.
  if (!socket.writable || error.code === 'ECONNRESET' || answering?.headersSent) {
    socket.destroy();
    return;
  }
  const [status, phrase, message] = REASONS[error.code ?? ''] ?? MALFORMED;
  const body = JSON.stringify(new ApiError(status, message).body);
  const head = [
    `HTTP/1.1 ${status} ${phrase}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

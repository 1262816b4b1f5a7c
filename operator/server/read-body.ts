import type { IncomingMessage } from 'node:http';
import { ProtocolError } from './protocol-error.ts';

export type BodyLimits = { bytes: number; ms: number };

/**
 * The whole body of a request, refused with 413 as soon as it is known to be larger than the limit and with 408 when it takes
 * longer than the limit. The rest of a refused body is read and thrown away by Node, which cuts the connection in the end.
 */
export function readBody(request: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (act: () => void) => {
      clearTimeout(timer);
      request.off('data', take).off('end', end).off('error', fail).off('close', fail);
      act();
    };
    const tooLarge = () =>
      new ProtocolError('BodyTooLarge', `The body is larger than ${limits.bytes} bytes: shorten "message" to its last 2 KiB.`);
    const take = (chunk: Buffer) => {
      size += chunk.length;
      if (size > limits.bytes) settle(() => reject(tooLarge()));
      else chunks.push(chunk);
    };
    const end = () => settle(() => resolve(Buffer.concat(chunks, size)));
    const fail = () =>
      settle(() => reject(new ProtocolError('MalformedRequest', 'The request ended before its body was complete: send it again.')));
    const slow = () =>
      settle(() => reject(new ProtocolError('SlowBody', `The body did not arrive within ${limits.ms} ms: send the report in one piece.`)));
    const timer = setTimeout(slow, limits.ms);
    request.on('data', take).on('end', end).on('error', fail).on('close', fail);
    if (Number(request.headers['content-length'] ?? 0) > limits.bytes) settle(() => reject(tooLarge()));
  });
}

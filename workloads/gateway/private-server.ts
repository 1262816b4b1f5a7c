import { createServer, type Server } from 'node:http';
import type { GatewayMetrics } from './metrics.ts';

/** What only the cluster may see: metrics and health. */
export function createPrivateServer(metrics: GatewayMetrics, notReady: () => string | null): Server {
  return createServer((request, response) => {
    const send = (status: number, type: string, body: string) => {
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
      response.end(body);
    };
    if (request.url === '/metrics') {
      void metrics.registry.metrics().then(
        (text) => send(200, metrics.registry.contentType, text),
        (error: Error) => send(500, 'text/plain', `${error.message}\n`),
      );
    } else if (request.url === '/healthz') send(200, 'text/plain', 'ok\n');
    else if (request.url === '/readyz') {
      const problem = notReady();
      send(problem === null ? 200 : 503, 'text/plain', `${problem ?? 'ok'}\n`);
    } else send(404, 'text/plain', 'nothing here\n');
  });
}

import { createServer, type Server } from 'node:http';

/** /healthz and /metrics. A metadata service that is away is in the metrics; a restart would not bring it back. */
export function serveHealth(port: number, metrics: () => string): Server {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    const body = path === '/metrics' ? metrics() : path === '/healthz' ? 'ok\n' : null;
    response.writeHead(body === null ? 404 : 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
    response.end(body ?? 'there are /healthz and /metrics\n');
  });
  server.requestTimeout = 5_000;
  server.maxConnections = 16;
  return server.listen(port);
}

import { createServer, type Server } from 'node:http';
import type { Announcement } from './announcement.ts';

/** How each feed does: when it last gave a definite answer (ms, monotonic; null = never), and how often it gave none. */
export interface FeedHealth {
  answeredAt: number | null;
  faults: number;
}

/** The text of /metrics in Prometheus' form. `now`: ms, monotonic as the feeds' times. */
export function metricsText(feeds: ReadonlyMap<string, FeedHealth>, announced: Announcement | null, now: number): string {
  const lines = ['# HELP vicuna_notifier_faults_total Reads of the metadata service without a definite answer.'];
  lines.push('# TYPE vicuna_notifier_faults_total counter');
  for (const [feed, { faults }] of feeds) lines.push(`vicuna_notifier_faults_total{feed="${feed}"} ${faults}`);
  lines.push('# HELP vicuna_notifier_answer_age_seconds Time since the last definite answer; +Inf when there was none.');
  lines.push('# TYPE vicuna_notifier_answer_age_seconds gauge');
  for (const [feed, { answeredAt }] of feeds)
    lines.push(
      `vicuna_notifier_answer_age_seconds{feed="${feed}"} ${answeredAt === null ? '+Inf' : ((now - answeredAt) / 1_000).toFixed(1)}`,
    );
  lines.push('# HELP vicuna_notifier_deadline_timestamp_seconds When the machine goes, by what its cloud has announced; 0 = nothing is.');
  lines.push('# TYPE vicuna_notifier_deadline_timestamp_seconds gauge');
  lines.push(`vicuna_notifier_deadline_timestamp_seconds ${Math.floor((announced?.deadline ?? 0) / 1_000)}`);
  return `${lines.join('\n')}\n`;
}

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

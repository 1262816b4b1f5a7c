import type { Announcement } from './announcement.ts';

/** How each feed does: when it last gave a definite answer (ms, monotonic; null = never), and how often it gave none. */
export interface FeedHealth {
  answeredAt: number | null;
  faults: number;
}

export interface NotifierMetric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  readonly help: string;
}

/** What a notifier serves; the reference page has it from here. */
export const NOTIFIER_METRICS = {
  faults: {
    name: 'vicuna_notifier_faults_total',
    type: 'counter',
    labels: ['feed'],
    help: 'Reads of the metadata service without a definite answer.',
  },
  answerAge: {
    name: 'vicuna_notifier_answer_age_seconds',
    type: 'gauge',
    labels: ['feed'],
    help: 'Time since the last definite answer; +Inf when there was none.',
  },
  deadline: {
    name: 'vicuna_notifier_deadline_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: 'When the machine goes, by what its cloud has announced; 0 = nothing is.',
  },
} as const satisfies Record<string, NotifierMetric>;

/** The text of /metrics in Prometheus' form. `now`: ms, monotonic as the feeds' times. */
export function metricsText(feeds: ReadonlyMap<string, FeedHealth>, announced: Announcement | null, now: number): string {
  const ofFeeds = (metric: NotifierMetric, value: (feed: FeedHealth) => string) =>
    text(
      metric,
      [...feeds].map(([name, feed]) => `{feed="${name}"} ${value(feed)}`),
    );
  return [
    ...ofFeeds(NOTIFIER_METRICS.faults, ({ faults }) => String(faults)),
    ...ofFeeds(NOTIFIER_METRICS.answerAge, ({ answeredAt }) => (answeredAt === null ? '+Inf' : ((now - answeredAt) / 1_000).toFixed(1))),
    ...text(NOTIFIER_METRICS.deadline, [` ${Math.floor((announced?.deadline ?? 0) / 1_000)}`]),
    '',
  ].join('\n');
}

function text({ name, type, help }: NotifierMetric, samples: readonly string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples.map((sample) => `${name}${sample}`)];
}

/**
 * A figure of which there is one for each value of the labels, whoever exports it: while the lead changes, two copies of the operator may
 * show the same thing for a moment.
 */
export function once(series: string, labels: string): string {
  return `max by (${labels}) (${series})`;
}

/** Seconds since the prices of pools were last read from their clouds; nothing where they never were, or are the spec's. */
export const priceAge = (labels: string) => `time() - (${once(`vicuna_pool_price_read_timestamp_seconds${labels}`, 'pool')} > 0)`;

/** Seconds without an answer after which a notifier counts as blind. Google's service holds its answers back for 60 s. */
export const BLIND_AFTER_SECONDS = 120;
/** Of each node and each thing that is asked of its cloud's metadata service. */
export const ANSWER_AGE = once('vicuna_notifier_answer_age_seconds', 'node, feed');

const notified = (series: string) => once(series, 'node');
/**
 * Spot nodes without a notifier that answers. Where none has for six hours, notifiers are not used, or not scraped; until then an outage
 * of all of them shows.
 */
export const UNNOTIFIED =
  `(${once('vicuna_pool_spot_node_info', 'node')} unless on (node) ${notified('vicuna_notifier_deadline_timestamp_seconds')})` +
  ` and on () count(${notified('last_over_time(vicuna_notifier_deadline_timestamp_seconds[6h])')})`;

/** Everything that costs, with the labels that tell one from another: trainings, servings, and datasets, evaluations and releases. */
const PAYERS = { training: 'namespace, training', serving: 'namespace, serving', task: 'namespace, kind, name' } as const;
const overall = (figure: (payer: string, labels: string) => string) =>
  Object.entries(PAYERS)
    .map(([payer, labels]) => `(sum(${figure(payer, labels)}) or vector(0))`)
    .join(' + ');

/** US dollars paid, and what the same would have cost on demand. */
export const COST = overall((payer, labels) => once(`vicuna_${payer}_cost_dollars_total`, labels));
export const ON_DEMAND = overall((payer, labels) => once(`vicuna_${payer}_on_demand_cost_dollars_total`, labels));
export const COST_PER_HOUR = `3600 * (${overall((payer) => `rate(vicuna_${payer}_cost_dollars_total[10m])`)})`;

/** A quantile of a histogram. */
export function quantile(q: number, histogram: string, labels: string, window: string, by = ''): string {
  return `histogram_quantile(${q}, sum by (le${by ? `, ${by}` : ''}) (rate(${histogram}_bucket{${labels}}[${window}])))`;
}

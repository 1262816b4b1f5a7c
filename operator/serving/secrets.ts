import type { VicunaServing } from '../api/vicuna-serving.ts';

/** The Secrets that a serving's pods need, with the field that names each. */
export function secretsOf({ spec }: VicunaServing): { field: string; name: string }[] {
  const { credentials, gateway, workers } = spec;
  const named: [field: string, name: string | undefined][] = [
    ...credentials.map(({ name }): [string, string] => ['spec.credentials', name]),
    ['spec.multiplexing.prometheus.secret', spec.multiplexing?.prometheus?.secret?.name],
    ['spec.gateway.apiKeys', gateway.apiKeys?.name],
    ['spec.gateway.registration', gateway.registration?.name],
    ['spec.gateway.moderation.secret', gateway.moderation?.secret?.name],
    ...workers.map(({ secret }, i): [string, string | undefined] => [`spec.workers[${i}].secret`, secret?.name]),
  ];
  return named.flatMap(([field, name]) => (name === undefined ? [] : [{ field, name }]));
}

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { queryPrometheus, queryPrometheusRange, sampleIn, seriesIn } from './prometheus.ts';
import { defaultQuery, fillIn } from './queries.ts';

const NOW = 1_700_000_000_000;
const answer = (result: unknown, resultType = 'vector') => JSON.stringify({ status: 'success', data: { resultType, result } });
const vector = (...values: string[]) => answer(values.map((v) => ({ metric: {}, value: [NOW / 1000, v] })));

describe('an answer of Prometheus', () => {
  it.each([
    ['a number', vector('3.5'), { value: 3.5 }],
    ['a scalar', answer([NOW / 1000, '2'], 'scalar'), { value: 2 }],
    ['nothing', vector(), { problem: expect.stringContaining('the query gives nothing') }],
    ['several series', vector('1', '2'), { problem: expect.stringContaining('gives 2 series') }],
    ['NaN', vector('NaN'), { problem: 'the query gives NaN' }],
    ['infinity', vector('+Inf'), { problem: 'the query gives +Inf' }],
    ['an old value', answer([{ metric: {}, value: [NOW / 1000 - 300, '1'] }]), { problem: 'the value is 300 s old' }],
    ['a range', answer([], 'matrix'), { problem: 'the query gives a matrix, and one number is needed' }],
    [
      'a histogram',
      answer([{ metric: {}, histogram: [NOW / 1000, {}] }]),
      { problem: 'the query gives a histogram, and one number is needed' },
    ],
    [
      'doubted',
      JSON.stringify({ status: 'success', warnings: ['a store is away'], data: { resultType: 'vector', result: [] } }),
      { problem: 'Prometheus warns of the result: a store is away' },
    ],
    ['a refusal', JSON.stringify({ status: 'error', error: 'parse error' }), { problem: 'Prometheus refuses the query: parse error' }],
    ['no JSON', '<html>', { problem: 'Prometheus’ answer is no JSON' }],
    ['something else', '{}', { problem: 'Prometheus refuses the query: undefined' }],
  ])('that is %s', (_, text, expected) => {
    expect(sampleIn(text, NOW)).toEqual(expected);
  });

  it('that never comes is a problem, not an error', async () => {
    const problem = await queryPrometheus({ url: 'http://127.0.0.1:9', authorization: null }, 'up');
    expect(problem).toEqual({ problem: expect.stringContaining('Prometheus cannot be reached') });
  });
});

describe('a range of Prometheus', () => {
  const windows = { start: NOW / 1000 - 120, windows: 3, windowSeconds: 60 };
  const at = (window: number, value: string) => [NOW / 1000 - 120 + window * 60, value];

  it.each([
    ['whole', answer([{ metric: {}, values: [at(0, '1'), at(1, '2'), at(2, '3')] }], 'matrix'), { values: [1, 2, 3] }],
    ['without its first windows', answer([{ metric: {}, values: [at(2, '3')] }], 'matrix'), { values: [0, 0, 3] }],
    ['empty', answer([], 'matrix'), { problem: expect.stringContaining('the query gives nothing') }],
    ['of several series', answer([{}, {}], 'matrix'), { problem: expect.stringContaining('gives 2 series') }],
    ['with NaN', answer([{ metric: {}, values: [at(1, 'NaN')] }], 'matrix'), { problem: 'the query gives NaN' }],
    ['of another time', answer([{ metric: {}, values: [at(9, '4')] }], 'matrix'), { problem: 'the query gives 4' }],
    ['a number', vector('1'), { problem: 'the query gives a vector, and a range is needed' }],
    ['no JSON', '<html>', { problem: 'Prometheus’ answer is no JSON' }],
  ])('that is %s', (_, text, expected) => {
    expect(seriesIn(text, windows)).toEqual(expected);
  });

  it('asks for as many windows, up to now', async () => {
    const asked: URLSearchParams[] = [];
    const server = createServer((request, response) => {
      void text(request).then((body) => {
        asked.push(new URLSearchParams(body));
        response.end(answer([{ metric: {}, values: [at(2, '3')] }], 'matrix'));
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const series = await queryPrometheusRange({ url, authorization: null, now: () => NOW }, 'up', windows);
    server.close();
    expect(series).toEqual({ values: [0, 0, 3] });
    expect(Object.fromEntries(asked[0] ?? [])).toMatchObject({
      query: 'up',
      start: String(windows.start),
      end: String(NOW / 1000),
      step: '60',
    });
  });
});

describe('queries', () => {
  it('are about one model of one serving, its names escaped', () => {
    expect(fillIn('x{a="{namespace}",b="{serving}",c="{model}",d="{other}"}', { namespace: 'n', serving: 's"', model: 'm' })).toBe(
      'x{a="n",b="s\\"",c="m",d="{other}"}',
    );
  });

  it('ask each engine for what it calls its requests', () => {
    expect(defaultQuery('vllm', true)).toContain('vllm:num_requests_waiting');
    expect(defaultQuery('sglang', true)).toContain('sglang:num_queue_reqs');
  });

  it('take engines without series for idle only while none of them answers', () => {
    expect(defaultQuery('vllm', true)).not.toContain('vector(0)');
    expect(defaultQuery('vllm', false)).toContain('or vector(0)) + sum(vicuna_gateway_queued_requests');
  });
});

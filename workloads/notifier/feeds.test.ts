import { afterEach, describe, expect, it } from 'vitest';
import type { Feed } from './announcement.ts';
import { awsFeeds } from './aws.ts';
import { azureFeeds } from './azure.ts';
import { gcpFeeds } from './gcp.ts';
import { MetadataService } from './metadata.ts';
import { type AzureEvent, FakeAws, FakeAzure, FakeGcp } from './testing/fake-metadata.ts';

const AT = Date.parse('2026-01-01T00:00:00Z');
const SIGNAL = new AbortController().signal;
let close = () => {};
afterEach(() => close());

async function aws() {
  const fake = await new FakeAws().start();
  close = () => fake.close();
  fake.date = null;
  const [spot, rebalance, scheduled] = awsFeeds(new MetadataService(fake.url, () => AT));
  return { fake, spot: spot as Feed, rebalance: rebalance as Feed, scheduled: scheduled as Feed };
}

async function gcp(hasGpu = true) {
  const fake = await new FakeGcp().start();
  close = () => fake.close();
  fake.date = null;
  let now = AT;
  const [preempted, maintenance] = gcpFeeds(new MetadataService(fake.url, () => now), { noticeSeconds: 15, hasGpu });
  return { fake, preempted: preempted as Feed, maintenance: maintenance as Feed, later: (ms: number) => (now += ms) };
}

async function azure() {
  const fake = await new FakeAzure().start();
  close = () => fake.close();
  fake.date = null;
  const [events] = azureFeeds(new MetadataService(fake.url, () => AT));
  return { fake, events: events as Feed };
}

const event = (change: Partial<AzureEvent>): AzureEvent => ({
  EventId: 'A-1',
  EventStatus: 'Scheduled',
  EventType: 'Preempt',
  ResourceType: 'VirtualMachine',
  Resources: ['aks-gpu_7'],
  NotBefore: 'Thu, 01 Jan 2026 00:00:30 GMT',
  ...change,
});

describe('AWS', () => {
  it('says nothing while the paths do not exist, with one token for all of them', async () => {
    const { fake, spot, rebalance, scheduled } = await aws();
    fake.paths.set('events/maintenance/scheduled', '[]');
    for (const feed of [spot, rebalance, scheduled]) expect(await feed.read(true, SIGNAL)).toEqual([]);
    expect(fake.requests.filter((r) => r.startsWith('PUT'))).toHaveLength(1);
  });

  it.each(['terminate', 'stop', 'hibernate'])('reads an interruption notice with action %s', async (action) => {
    const { fake, spot } = await aws();
    fake.paths.set('spot/instance-action', JSON.stringify({ action, time: '2026-01-01T00:02:00Z' }));
    expect(await spot.read(true, SIGNAL)).toEqual([
      { cause: 'spotPreemption', deadline: AT + 120_000, estimated: false, words: expect.stringContaining(action) },
    ]);
  });

  it('takes a notice without a time that can be read for one of two minutes', async () => {
    const { fake, spot } = await aws();
    fake.paths.set('spot/instance-action', '{"action": "terminate", "time": "soon"}');
    expect(await spot.read(true, SIGNAL)).toMatchObject([{ deadline: AT + 120_000, estimated: true }]);
  });

  it('reads a rebalance recommendation, which has no deadline', async () => {
    const { fake, rebalance } = await aws();
    fake.paths.set('events/recommendations/rebalance', '{"noticeTime": "2026-01-01T00:00:00Z"}');
    expect(await rebalance.read(true, SIGNAL)).toMatchObject([{ cause: 'rebalance', deadline: null }]);
  });

  it('reads active scheduled events, and leaves out those that are over or called off', async () => {
    const { fake, scheduled } = await aws();
    const one = { NotBefore: '1 Jan 2026 09:00:43 GMT', Code: 'instance-retirement', EventId: 'instance-event-1', State: 'active' };
    fake.paths.set('events/maintenance/scheduled', JSON.stringify([one, { ...one, State: 'canceled' }, { ...one, State: 'completed' }]));
    expect(await scheduled.read(true, SIGNAL)).toMatchObject([
      { cause: 'maintenance', deadline: Date.parse('2026-01-01T09:00:43Z'), id: 'instance-event-1' },
    ]);
  });

  it('gets another token when the one it has is refused', async () => {
    const { fake, spot } = await aws();
    await spot.read(true, SIGNAL);
    fake.tokens.clear();
    expect(await spot.read(true, SIGNAL)).toEqual([]);
    expect(fake.requests.filter((r) => r.startsWith('PUT'))).toHaveLength(2);
  });

  it('gets a token when the service is there after all', async () => {
    const { fake, spot } = await aws();
    fake.trouble = { status: 503 };
    await expect(spot.read(true, SIGNAL)).rejects.toThrow('PUT /latest/api/token: HTTP 503');
    fake.trouble = null;
    expect(await spot.read(true, SIGNAL)).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['a page', '<html>login</html>', 'no JSON'],
    ['another action', '{"action": "dance"}', 'no action that is known'],
    ['null', 'null', 'null'],
  ])('takes %s in place of a notice for no answer', async (_, body, words) => {
    const { fake, spot } = await aws();
    fake.paths.set('spot/instance-action', body);
    await expect(spot.read(true, SIGNAL)).rejects.toThrow(words);
  });
});

describe('Google', () => {
  it('answers at once first, then when the value changes', async () => {
    const { fake, preempted } = await gcp();
    expect(await preempted.read(true, SIGNAL)).toEqual([]);
    const answer = preempted.read(true, SIGNAL);
    await expect.poll(() => fake.waiting).toBe(1);
    fake.set('preempted', 'TRUE');
    expect(await answer).toMatchObject([{ cause: 'spotPreemption', deadline: AT + 15_000, estimated: true }]);
  });

  it('counts the notice from the first sight, however often it is read', async () => {
    const { fake, preempted, later } = await gcp();
    fake.set('preempted', 'TRUE');
    await preempted.read(false, SIGNAL);
    later(7_000);
    expect(await preempted.read(false, SIGNAL)).toMatchObject([{ deadline: AT + 15_000 }]);
  });

  it.each<[string, boolean, number | null]>([
    ['TERMINATE_ON_HOST_MAINTENANCE', true, 3_600_000],
    ['TERMINATE_ON_HOST_MAINTENANCE', false, 60_000],
    ['MIGRATE_ON_HOST_MAINTENANCE', true, null],
  ])('reads maintenance %s (GPU: %s)', async (value, hasGpu, leaves) => {
    const { fake, maintenance } = await gcp(hasGpu);
    fake.set('maintenance-event', value);
    expect(await maintenance.read(true, SIGNAL)).toMatchObject([
      { cause: 'maintenance', deadline: leaves === null ? null : AT + leaves, words: expect.stringContaining(value) },
    ]);
  });

  it('takes what is not from the metadata server for no answer', async () => {
    const { fake, preempted } = await gcp();
    fake.trouble = { status: 200, body: 'TRUE' };
    await expect(preempted.read(true, SIGNAL)).rejects.toThrow("not from Google's metadata server");
    fake.trouble = { status: 200, body: 'yes', headers: { 'metadata-flavor': 'Google' } };
    await expect(preempted.read(true, SIGNAL)).rejects.toThrow('instance/preempted is "yes"');
  });
});

describe('Azure', () => {
  it('says nothing when no event names this machine', async () => {
    const { fake, events } = await azure();
    fake.events = [event({ Resources: ['aks-gpu_8'] }), event({ EventType: 'Unheard' })];
    expect(await events.read(true, SIGNAL)).toEqual([]);
  });

  it.each<[string, string, 'spotPreemption' | 'maintenance', number | null]>([
    ['Preempt', 'Thu, 01 Jan 2026 00:00:30 GMT', 'spotPreemption', 30_000],
    ['Reboot', 'Thu, 01 Jan 2026 00:15:00 GMT', 'maintenance', 900_000],
    ['Redeploy', 'Thu, 01 Jan 2026 00:10:00 GMT', 'maintenance', 600_000],
    ['Terminate', 'Thu, 01 Jan 2026 00:05:00 GMT', 'maintenance', 300_000],
    ['Freeze', 'Thu, 01 Jan 2026 00:15:00 GMT', 'maintenance', null],
  ])('reads %s', async (EventType, NotBefore, cause, leaves) => {
    const { fake, events } = await azure();
    fake.events = [event({ EventType, NotBefore, Resources: ['aks-gpu_6', 'aks-gpu_7'] })];
    expect(await events.read(true, SIGNAL)).toMatchObject([
      { cause, deadline: leaves === null ? null : AT + leaves, estimated: false, id: 'A-1' },
    ]);
  });

  it('leaves no time to an event that has begun', async () => {
    const { fake, events } = await azure();
    fake.events = [event({ EventStatus: 'Started', NotBefore: '' })];
    expect(await events.read(true, SIGNAL)).toMatchObject([{ deadline: AT, estimated: true }]);
  });
});

describe('a metadata service in trouble is no answer', () => {
  it.each<[string, FakeAws['trouble'], string]>([
    ['HTTP 500', { status: 500 }, 'HTTP 500'],
    ['a redirect, which is not followed', { status: 302, headers: { location: 'http://example.invalid/' } }, 'HTTP 302'],
    ['a huge body', { status: 200, body: 'x'.repeat(100_000) }, 'larger than 65536 bytes'],
    ['a body without end', (response) => void endless(response), 'larger than 65536 bytes'],
    ['a broken connection', (response) => response.destroy(), 'socket hang up'],
    ['half an answer', (response) => half(response), 'broke off'],
    ['no JSON', { status: 200, body: '{"Events": [' }, 'no JSON'],
    ['other JSON', { status: 200, body: '[]' }, 'no list of Events'],
  ])('%s', async (_, trouble, words) => {
    const { fake, events } = await azure();
    await events.read(true, SIGNAL);
    fake.trouble = trouble;
    await expect(events.read(true, SIGNAL)).rejects.toThrow(words);
  });

  it('a service that never answers', async () => {
    const fake = await new FakeAws().start();
    close = () => fake.close();
    fake.trouble = () => undefined;
    const service = new MetadataService(fake.url, () => AT);
    await expect(service.call('/x', { timeoutMs: 50 }, SIGNAL)).rejects.toThrow('no answer within 0.05 s');
  });

  it('nobody there', async () => {
    await expect(new MetadataService('http://127.0.0.1:1', () => AT).call('/x', { timeoutMs: 500 }, SIGNAL)).rejects.toThrow(
      /ECONNREFUSED|bad port/,
    );
  });
});

describe('the clock', () => {
  it.each<[string, number | null, number]>([
    ['is the cloud’s, when the node’s is minutes off', 90_000, 90_000],
    ['is the node’s, when both agree to a second', 1_000, 0],
    ['is the node’s, when the service does not tell the time', null, 0],
  ])('%s', async (_, ahead, expected) => {
    const fake = await new FakeAws().start();
    close = () => fake.close();
    fake.date = ahead === null ? null : () => AT + ahead;
    const service = new MetadataService(fake.url, () => AT);
    await service.call('/latest/api/token', { timeoutMs: 1_000 }, SIGNAL);
    expect(service.now() - AT).toBe(expected);
  });
});

function endless(response: import('node:http').ServerResponse): void {
  response.writeHead(200);
  const more = () => {
    if (!response.destroyed && response.write('x'.repeat(8_192))) setImmediate(more);
  };
  response.on('drain', more);
  more();
}

function half(response: import('node:http').ServerResponse): void {
  response.writeHead(200, { 'content-length': '1000' });
  response.write('{');
  setImmediate(() => response.destroy());
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readPrices } from './read.ts';

let server: Server;
let answer: (request: IncomingMessage, body: string) => { status?: number; headers?: Record<string, string>; body: string };
let url: string;

beforeEach(async () => {
  server = createServer((request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const { status = 200, headers = {}, body: text } = answer(request, body);
      response.writeHead(status, headers).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  server.close();
});

const refusal = (status: number, code: string, words: string) => ({
  status,
  body: `<?xml version="1.0"?><Response><Errors><Error><Code>${code}</Code><Message>${words}</Message></Error></Errors></Response>`,
});

// Each starts a process that loads a cloud's SDK.
describe("AWS's spot price history", { timeout: 60_000 }, () => {
  const query = { cloud: 'aws', region: 'eu-west-1', zone: 'eu-west-1b', instanceType: 'p5.48xlarge' } as const;
  const item = (price: string, time: string) =>
    `<item><instanceType>p5.48xlarge</instanceType><productDescription>Linux/UNIX</productDescription><spotPrice>${price}</spotPrice><timestamp>${time}</timestamp><availabilityZone>eu-west-1b</availabilityZone></item>`;
  const history = (items: string) =>
    `<?xml version="1.0"?><DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><spotPriceHistorySet>${items}</spotPriceHistorySet><nextToken/></DescribeSpotPriceHistoryResponse>`;

  beforeEach(() => {
    vi.stubEnv('AWS_ENDPOINT_URL_EC2', url);
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  });

  it('is asked, signed, for the pool and for now; the newest price counts', async () => {
    answer = ({ method, url: path, headers }, body) => {
      const asked = new URLSearchParams(body);
      expect([method, path]).toEqual(['POST', '/']);
      expect(headers.authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-west-1\/ec2\/aws4_request/);
      expect(Object.fromEntries(asked)).toMatchObject({
        Action: 'DescribeSpotPriceHistory',
        AvailabilityZone: 'eu-west-1b',
        'InstanceType.1': 'p5.48xlarge',
        'ProductDescription.1': 'Linux/UNIX',
      });
      expect(asked.get('StartTime')).toBe(asked.get('EndTime'));
      expect(Math.abs(Date.parse(asked.get('StartTime') ?? '') - Date.now())).toBeLessThan(60_000);
      return { body: history(item('12.500000', '2026-01-01T00:00:00.000Z') + item('12.812300', '2026-01-01T03:00:00.000Z')) };
    };
    expect(await readPrices(query)).toEqual({ spot: 12.8123, onDemand: null });
  });

  it('says so when it has no price, or refuses', async () => {
    answer = () => ({ body: history('') });
    await expect(readPrices(query)).rejects.toThrow('AWS has no spot price of p5.48xlarge in eu-west-1b: is it offered there as spot?');
    answer = () => refusal(403, 'UnauthorizedOperation', 'You are not authorized to perform this operation.');
    await expect(readPrices(query)).rejects.toThrow('You are not authorized to perform this operation.');
  });
});

describe("Google's price list", { timeout: 60_000 }, () => {
  const parts = [
    { sku: 'A3 Instance Core', quantity: 208 },
    { sku: 'Nvidia H100 80GB GPU', quantity: 8 },
  ];
  const query = { cloud: 'gcp', region: 'us-central1', parts } as const;
  const sku = (description: string, usageType: string, nanos: number, units = '0', regions = ['us-central1']) => ({
    name: `services/6F81-5844-456A/skus/${description}`,
    description,
    category: { serviceDisplayName: 'Compute Engine', resourceFamily: 'Compute', resourceGroup: 'x', usageType },
    serviceRegions: regions,
    pricingInfo: [{ pricingExpression: { usageUnit: 'h', tieredRates: [{ unitPrice: { currencyCode: 'USD', units, nanos } }] } }],
  });
  const pages: Record<string, object[]> = {
    '': [
      sku('A3 Instance Core running in Iowa', 'OnDemand', 30_000_000),
      sku('Commitment v1: A3 Cpu in Iowa for 1 Year', 'Commit1Yr', 1),
      sku('A3 Instance Core running in Belgium', 'OnDemand', 1, '0', ['europe-west1']),
    ],
    next: [
      sku('Nvidia H100 80GB GPU running in Iowa', 'OnDemand', 500_000_000, '9'),
      sku('Spot Preemptible A3 Instance Core running in Iowa', 'Preemptible', 10_000_000),
      sku('Nvidia H100 80GB GPU attached to Spot Preemptible VMs running in Iowa', 'Preemptible', 0, '2'),
    ],
  };

  /** The node's metadata server, which gives its account's token, and the price list in two pages. */
  const google = (list: (token: string) => { status?: number; body: string }): typeof answer =>
    function answered({ url: path = '', headers }) {
      const { pathname, searchParams } = new URL(path, url);
      const flavour = { 'Metadata-Flavor': 'Google' };
      if (pathname.startsWith('/computeMetadata/')) {
        expect(headers['metadata-flavor']).toBe('Google');
        const body = pathname.endsWith('/token')
          ? JSON.stringify({ access_token: 'from-metadata', expires_in: 3_600, token_type: 'Bearer' })
          : pathname.includes('universe')
            ? 'googleapis.com'
            : 'project';
        return { headers: { ...flavour, 'content-type': pathname.endsWith('/token') ? 'application/json' : 'text/plain' }, body };
      }
      expect(pathname).toBe('/v1/services/6F81-5844-456A/skus');
      expect(headers.authorization).toBe('Bearer from-metadata');
      expect(searchParams.get('currencyCode')).toBe('USD');
      return { headers: { 'content-type': 'application/json' }, ...list(searchParams.get('pageToken') ?? '') };
    };

  beforeEach(() => {
    vi.stubEnv('CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING', url);
    vi.stubEnv('GCE_METADATA_HOST', url.replace('http://', ''));
    vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present');
  });

  it("is read with the node's own account; a node costs the sum of its parts", async () => {
    answer = google((token) => ({ body: JSON.stringify({ skus: pages[token], nextPageToken: token === '' ? 'next' : '' }) }));
    const { spot, onDemand } = await readPrices(query);
    expect(spot).toBeCloseTo(208 * 0.01 + 8 * 2);
    expect(onDemand).toBeCloseTo(208 * 0.03 + 8 * 9.5);
  });

  it('says so when a part is not in it, or it refuses', async () => {
    answer = google(() => ({ body: JSON.stringify({ skus: pages[''] }) }));
    await expect(readPrices(query)).rejects.toThrow(
      'Google\'s price list has no offer of all of "A3 Instance Core", "Nvidia H100 80GB GPU" in us-central1: write parts as their descriptions begin',
    );
    answer = google(() => ({
      status: 403,
      body: JSON.stringify({
        error: { code: 403, status: 'PERMISSION_DENIED', message: 'Cloud Billing API has not been used in project 1' },
      }),
    }));
    await expect(readPrices(query)).rejects.toThrow('Cloud Billing API has not been used in project 1');
  });
});

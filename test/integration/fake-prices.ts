import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a GpuPool's spec needs for its spot price to be asked for. */
export const PRICED_SPEC = { region: 'eu-west-1', zone: 'eu-west-1b', instanceType: 'p4d.24xlarge', price: { source: { aws: {} } } };

/** AWS's spot price history with one price in it. */
export class FakePrices {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(dollars: string): Promise<FakePrices> {
    const { zone, instanceType } = PRICED_SPEC;
    const item = `<item><instanceType>${instanceType}</instanceType><productDescription>Linux/UNIX</productDescription><spotPrice>${dollars}</spotPrice><timestamp>2026-01-01T00:00:00.000Z</timestamp><availabilityZone>${zone}</availabilityZone></item>`;
    const answer = `<?xml version="1.0"?><DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><spotPriceHistorySet>${item}</spotPriceHistorySet><nextToken/></DescribeSpotPriceHistoryResponse>`;
    const server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FakePrices(server);
  }

  /** By which the SDK of a process asks here. */
  get env(): NodeJS.ProcessEnv {
    return {
      AWS_ENDPOINT_URL_EC2: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_EC2_METADATA_DISABLED: 'true',
    };
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

import { createHash, createHmac } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from './control-plane.ts';
import { attempt, type Daemon, endAll, kill, run, startDaemon, until } from './run.ts';
import { ensureTools, toolPath } from './tools.ts';

export interface S3Options {
  /** Where objects are kept. */
  readonly directory: string;
  readonly address: string;
  /** A free port by default. */
  readonly port?: number;
  /** Megabytes after which the disk is full; a file system of that size is mounted. */
  readonly megabytes?: number;
}

/** A real S3 server (versitygw) over a directory. */
export class S3 {
  readonly directory: string;
  readonly address: string;
  readonly accessKey = 'vicuna';
  readonly secretKey = 'vicuna-secret-key';
  readonly region = 'us-east-1';
  readonly #data: string;
  readonly #mounted: boolean;
  readonly #port: number;
  #daemon: Daemon | null = null;

  private constructor(options: S3Options, port: number) {
    this.directory = options.directory;
    this.address = options.address;
    this.#data = join(options.directory, 'data');
    this.#mounted = options.megabytes !== undefined;
    this.#port = port;
  }

  static async start(options: S3Options): Promise<S3> {
    await ensureTools(['versitygw']);
    const [free = 0] = options.port === undefined ? await freePorts(1) : [options.port];
    const s3 = new S3(options, free);
    mkdirSync(s3.#data, { recursive: true });
    if (options.megabytes !== undefined) await run('mount', ['-t', 'tmpfs', '-o', `size=${options.megabytes}m`, 'tmpfs', s3.#data]);
    await s3.restart();
    return s3;
  }

  /** A server that another process has started. */
  static attach(options: S3Options & { port: number }): S3 {
    return new S3(options, options.port);
  }

  get url(): string {
    return `http://${this.address}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Environment that S3 clients read. */
  get environment(): Record<string, string> {
    return {
      AWS_ACCESS_KEY_ID: this.accessKey,
      AWS_SECRET_ACCESS_KEY: this.secretKey,
      AWS_ENDPOINT_URL: this.url,
      AWS_REGION: this.region,
      AWS_DEFAULT_REGION: this.region,
    };
  }

  /** Starts the server again over the same objects and port. */
  async restart(): Promise<void> {
    const env = { ROOT_ACCESS_KEY: this.accessKey, ROOT_SECRET_KEY: this.secretKey };
    const args = [
      '--port',
      `${this.address}:${this.#port}`,
      '--region',
      this.region,
      '--quiet',
      'posix',
      '--sidecar',
      join(this.directory, 'meta'),
      this.#data,
    ];
    mkdirSync(join(this.directory, 'meta'), { recursive: true });
    this.#daemon = startDaemon('versitygw', toolPath('versitygw'), args, join(this.directory, 's3.log'), env);
    await until('the S3 server answering', 15_000, async () => (await fetch(this.url).catch(() => null)) !== null);
  }

  /** kill -9, in the middle of whatever it does. */
  kill(): void {
    if (this.#daemon) kill(this.#daemon.pid, 'SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.#daemon) await endAll([this.#daemon.pid], 2_000);
    if (this.#mounted) await attempt('umount', ['-l', this.#data]);
  }

  async createBucket(bucket: string): Promise<void> {
    await this.#request('PUT', `/${bucket}`, Buffer.alloc(0));
  }

  async put(bucket: string, key: string, body: Buffer): Promise<void> {
    await this.#request('PUT', `/${bucket}/${key}`, body);
  }

  async putFile(bucket: string, key: string, path: string): Promise<void> {
    await this.put(bucket, key, readFileSync(path));
  }

  async get(bucket: string, key: string): Promise<Buffer> {
    return this.#request('GET', `/${bucket}/${key}`, Buffer.alloc(0));
  }

  /** Signs with AWS Signature Version 4; a whole SDK for three calls would be too much. */
  async #request(method: string, path: string, body: Buffer): Promise<Buffer> {
    const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
    const day = time.slice(0, 8);
    const payload = createHash('sha256').update(body).digest('hex');
    const url = new URL(this.url);
    const signed = 'host;x-amz-content-sha256;x-amz-date';
    const canonicalPath = path.split('/').map(encodeURIComponent).join('/');
    const canonical = [
      method,
      canonicalPath,
      '',
      `host:${url.host}`,
      `x-amz-content-sha256:${payload}`,
      `x-amz-date:${time}`,
      '',
      signed,
      payload,
    ].join('\n');
    const scope = `${day}/${this.region}/s3/aws4_request`;
    const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
    const key = [day, this.region, 's3', 'aws4_request'].reduce<Buffer>(
      (k, part) => createHmac('sha256', k).update(part).digest(),
      Buffer.from(`AWS4${this.secretKey}`),
    );
    const signature = createHmac('sha256', key).update(text).digest('hex');
    const authorization = `AWS4-HMAC-SHA256 Credential=${this.accessKey}/${scope}, SignedHeaders=${signed}, Signature=${signature}`;
    const headers = { authorization, 'x-amz-date': time, 'x-amz-content-sha256': payload };
    const response = await fetch(new URL(canonicalPath, this.url), {
      method,
      headers,
      ...(method === 'PUT' ? { body: new Uint8Array(body) } : {}),
    });
    if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${(await response.text()).slice(0, 300)}`);
    return Buffer.from(await response.arrayBuffer());
  }
}

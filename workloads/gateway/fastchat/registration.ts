import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { ApiError } from '../api-error.ts';
import type { Gateway } from '../gateway.ts';
import { readBody } from '../read-body.ts';
import type { Handler } from '../server.ts';
import type { WorkerSpec } from '../worker.ts';

/** A worker that was silent for so long is gone: FastChat's send a heart-beat every 45 s. */
const EXPIRES_MS = 90_000;
const BODY_BYTES = 64 << 10;
const MOST = 1_024;
const SOURCE = 'registered';

const url = z.url({ protocol: /^https?$/ }).max(1_024);
const registration = z.object({
  worker_name: url,
  check_heart_beat: z.boolean().default(true),
  worker_status: z.object({ model_names: z.array(z.string().min(1).max(128)).min(1).max(64), queue_length: z.number().optional() }),
});
const heartBeat = z.object({ worker_name: url, queue_length: z.number().optional() });
const modelQuestion = z.object({ model: z.string().max(253) });

interface Registered {
  readonly spec: WorkerSpec;
  readonly expires: boolean;
  lastSeen: number;
}

/**
 * FastChat's controller protocol: its workers, unchanged, plug themselves in. They know no keys, but a secret fits into the address of
 * the controller that they are given: http://worker:SECRET@gateway.
 */
export class Registration {
  readonly #gateway: Gateway;
  readonly #now: () => number;
  readonly #workers = new Map<string, Registered>();

  constructor(gateway: Gateway, now: () => number) {
    this.#gateway = gateway;
    this.#now = now;
  }

  /** Forgets workers that are silent. */
  sweep(): void {
    const expired = [...this.#workers].filter(([, w]) => w.expires && this.#now() - w.lastSeen > EXPIRES_MS);
    for (const [name] of expired) this.#workers.delete(name);
    if (expired.length > 0) this.#tell();
  }

  readonly handler: Handler = async (request, response, path) => {
    const answer = ROUTES[path];
    if (answer === undefined || request.method !== 'POST') return false;
    const settings = this.#gateway.config.registration;
    if (settings === undefined) return false;
    requireSecret(request, settings.secretFile);
    const body = (await readBody(request, BODY_BYTES)).toString('utf8');
    send(response, answer(this, body === '' ? {} : parse(body)));
    return true;
  };

  register(value: unknown): object {
    const { worker_name: name, check_heart_beat: expires, worker_status: status } = check(registration, value);
    if (!this.#workers.has(name) && this.#workers.size >= MOST) throw new ApiError(429, `There are ${MOST} registered workers already.`);
    const spec: WorkerSpec = {
      name,
      url: name.replace(/\/$/, ''),
      models: status.model_names,
      track: 'stable',
      protocol: 'fastchat',
      engine: null,
      zone: null,
      keyFile: null,
    };
    this.#workers.set(name, { spec, expires, lastSeen: this.#now() });
    this.#tell();
    return {};
  }

  heartBeat(value: unknown): object {
    const known = this.#workers.get(check(heartBeat, value).worker_name);
    // Whoever is not known registers again.
    if (!known) return { exist: false };
    known.lastSeen = this.#now();
    return { exist: true };
  }

  models(): object {
    return { models: this.#gateway.modelNames() };
  }

  address(value: unknown): object {
    const { model } = check(modelQuestion, value);
    const [idlest] = this.#gateway.registry.of(model).toSorted((a, b) => a.running - b.running);
    return { address: idlest?.spec.url ?? '' };
  }

  #tell(): void {
    this.#gateway.registry.set(
      SOURCE,
      [...this.#workers.values()].map((w) => w.spec),
    );
  }
}

const ROUTES: Readonly<Record<string, (own: Registration, body: unknown) => object>> = {
  '/register_worker': (own, body) => own.register(body),
  '/receive_heart_beat': (own, body) => own.heartBeat(body),
  '/list_models': (own) => own.models(),
  '/list_language_models': (own) => own.models(),
  '/list_multimodal_models': () => ({ models: [] }),
  '/get_worker_address': (own, body) => own.address(body),
  '/refresh_all_workers': (own) => {
    own.sweep();
    return {};
  },
};

/** The secret as a password or as a bearer token, compared in constant time. */
function requireSecret(request: IncomingMessage, file: string): void {
  const { authorization = '' } = request.headers;
  const basic = /^Basic +(\S+)$/i.exec(authorization)?.[1];
  const given =
    basic === undefined
      ? /^Bearer +(\S+)$/i.exec(authorization)?.[1]
      : Buffer.from(basic, 'base64')
          .toString('utf8')
          .replace(/^[^:]*:/, '');
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const wanted = readFileSync(file, 'utf8').trim();
  if (given === undefined || wanted === '' || !timingSafeEqual(digest(given), digest(wanted)))
    throw new ApiError(401, 'Registration needs the secret: give workers http://worker:SECRET@this-address as their controller.', {
      headers: { 'www-authenticate': 'Basic realm="registration"' },
    });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `The body is not JSON: ${(error as Error).message}`);
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ApiError(400, result.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; '));
}

function send(response: ServerResponse, value: object): void {
  const body = JSON.stringify(value);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

import { type IncomingMessage, request } from 'node:http';

export interface LoadOptions {
  /** Address of the gateway's Service. */
  readonly url: string;
  readonly model: string;
  readonly users: number;
  /** A user's next question comes no sooner than this after the last one; 0 = as soon as that is answered. */
  readonly everySeconds?: number;
  readonly maxTokens: number;
  readonly questions: readonly string[];
  /** The undisturbed greedy answer to each question, by question. */
  readonly expected: ReadonlyMap<string, string>;
  readonly onProblem?: (problem: string) => void;
}

export interface LoadFigures {
  answers: number;
  failed: number;
  /** Streams that ended without their end. */
  broken: number;
  /** Answers that differ from the undisturbed ones. */
  different: number;
  /** Answers that went on at another worker. */
  continued: number;
  /** Slowest time to the first piece, and longest pause within an answer, seconds. */
  slowestFirst: number;
  longestPause: number;
}

export interface ChatAnswer {
  readonly status: number;
  readonly text: string;
  readonly done: boolean;
  readonly continued: number;
  readonly firstSeconds: number;
  readonly longestPause: number;
  readonly problem: string | null;
}

/** Asks for one streamed greedy answer over a connection of its own. Never rejects: what went wrong is in the answer. */
export function ask(url: string, model: string, question: string, maxTokens: number, timeoutMs = 120_000): Promise<ChatAnswer> {
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: question }],
    stream: true,
    temperature: 0,
    max_tokens: maxTokens,
    // Every answer is as long as it may be: a fault has an answer to strike.
    ignore_eos: true,
  });
  const startedAt = performance.now();
  const found = { status: 0, text: '', done: false, continued: 0, firstSeconds: 0, longestPause: 0, problem: null as string | null };
  const { promise, resolve } = Promise.withResolvers<ChatAnswer>();
  const end = (problem: string | null) => {
    found.problem ??= problem;
    clearTimeout(timer);
    resolve(found);
  };
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-vicuna-events': '1' };
  const call = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: false });
  const timer = setTimeout(() => call.destroy(new Error(`no end within ${timeoutMs / 1000} s`)), timeoutMs);
  call.on('error', (error) => end(error.message));
  call.on('response', (response: IncomingMessage) => {
    found.status = response.statusCode ?? 0;
    let rest = '';
    let lastAt = performance.now();
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      const now = performance.now();
      if (found.firstSeconds === 0) found.firstSeconds = (now - startedAt) / 1000;
      else found.longestPause = Math.max(found.longestPause, (now - lastAt) / 1000);
      lastAt = now;
      rest += chunk;
      for (let at = rest.indexOf('\n\n'); at >= 0; at = rest.indexOf('\n\n')) {
        take(rest.slice(0, at), found);
        rest = rest.slice(at + 2);
      }
      if (found.status !== 200) found.problem = `status ${found.status}: ${rest}`;
    });
    response.on('end', () => end(found.done ? null : 'the stream ended before it was done'));
    response.on('error', (error) => end(error.message));
  });
  call.end(body);
  return promise;
}

function take(event: string, found: { text: string; done: boolean; continued: number; problem: string | null }): void {
  if (event.startsWith(': continued')) found.continued++;
  if (!event.startsWith('data: ')) return;
  const data = event.slice(6);
  if (data === '[DONE]') {
    found.done = true;
    return;
  }
  const chunk = JSON.parse(data) as { error?: { message: string }; choices?: { delta?: { content?: string } }[] };
  if (chunk.error) found.problem = chunk.error.message;
  for (const choice of chunk.choices ?? []) found.text += choice.delta?.content ?? '';
}

/** So many users who ask one question after the other until `stop`. */
export class Load {
  readonly figures: LoadFigures = { answers: 0, failed: 0, broken: 0, different: 0, continued: 0, slowestFirst: 0, longestPause: 0 };
  readonly #o: LoadOptions;
  readonly #users: Promise<void>[];
  readonly #stop = Promise.withResolvers<void>();
  #stopped = false;
  #next = 0;

  constructor(options: LoadOptions) {
    this.#o = options;
    this.#users = Array.from({ length: options.users }, (_, i) => this.#user(i));
  }

  async #user(index: number): Promise<void> {
    const { url, model, maxTokens, questions, expected, onProblem, everySeconds = 0, users } = this.#o;
    const first = performance.now() + (index / users) * everySeconds * 1_000;
    for (let next = first; !this.#stopped; next += everySeconds * 1_000) {
      await Promise.race([this.#stop.promise, new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())))]);
      if (this.#stopped) return;
      next = Math.max(next, performance.now() - everySeconds * 1_000);
      const question = questions[this.#next++ % questions.length] ?? '';
      const answer = await ask(url, model, question, maxTokens);
      const { figures } = this;
      figures.answers++;
      figures.continued += answer.continued > 0 ? 1 : 0;
      figures.slowestFirst = Math.max(figures.slowestFirst, answer.firstSeconds);
      figures.longestPause = Math.max(figures.longestPause, answer.longestPause);
      if (answer.problem !== null) {
        if (answer.status === 200) figures.broken++;
        else figures.failed++;
        onProblem?.(answer.problem);
      } else if (answer.text !== expected.get(question)) {
        figures.different++;
        onProblem?.(`another answer than the undisturbed one:\n${answer.text}\n${expected.get(question)}`);
      }
    }
  }

  /** Lets everybody finish; the figures. */
  async stop(): Promise<LoadFigures> {
    this.#stopped = true;
    this.#stop.resolve();
    await Promise.all(this.#users);
    return this.figures;
  }
}

// A worker that answers at once, in a process of its own: `node gateway-worker.ts worker PORT`; or a bare pass-through that reads the
// body, as a floor for anything in Node: `node gateway-worker.ts floor PORT WORKER_PORT`.
import { Agent, request as ask, createServer } from 'node:http';

const [role, port, upstream] = process.argv.slice(2);
/** ms between the chunks of a paced answer. */
const PACE_MS = 20;
const CHUNKS = 64;

const head = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'm' };
const chunk = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;
const chunks = [...Array.from({ length: CHUNKS }, (_, i) => chunk(` word${i}`)), chunk('', 'stop')];
const whole = (text: string) =>
  JSON.stringify({
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 8, completion_tokens: 8, total_tokens: 16 },
  });
const answers: Readonly<Record<string, string>> = { short: whole('word '.repeat(8)), long: whole('word '.repeat(4_000)) };

const worker = createServer((request, response) => {
  if (request.method !== 'POST') {
    // Routers ask after its health and its models.
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"list","data":[{"id":"m","object":"model"}]}');
    return;
  }
  const body: Buffer[] = [];
  request.on('data', (data: Buffer) => body.push(data));
  request.on('end', () => {
    const { stream, messages } = JSON.parse(Buffer.concat(body).toString());
    const kind = messages[0].content as string;
    if (!stream) {
      const answer = answers[kind] ?? '';
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length }).end(answer);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (kind !== 'paced') {
      for (const each of chunks) response.write(each);
      response.end('data: [DONE]\n\n');
      return;
    }
    let i = 0;
    const next = () => {
      response.write(chunks[i++] ?? '');
      if (i < chunks.length) return;
      clearInterval(timer);
      response.end('data: [DONE]\n\n');
    };
    const timer = setInterval(next, PACE_MS);
    // The first one comes at once, so that the time to it is what lies between alone.
    next();
  });
});

const agent = new Agent({ keepAlive: true });
const floor = createServer((request, response) => {
  const body: Buffer[] = [];
  request.on('data', (data: Buffer) => body.push(data));
  request.on('end', () => {
    const bytes = Buffer.concat(body);
    JSON.parse(bytes.toString());
    const headers = { 'content-type': 'application/json', 'content-length': bytes.length };
    const call = ask({ port: Number(upstream), method: 'POST', path: request.url, agent, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    call.end(bytes);
  });
});

(role === 'floor' ? floor : worker).listen(Number(port), '127.0.0.1');

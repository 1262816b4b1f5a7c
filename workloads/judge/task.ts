import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { type JudgeResult, MAX_RESULT_BYTES } from '../../operator/api/judge-result.ts';
import { type JudgeTask, parseJudgeTask } from './config.ts';
import { badConfiguration, EXIT, Failure } from './failure.ts';
import { REAL_CLOCK } from './run/clock.ts';
import { evaluate } from './run/evaluate.ts';
import { Progress, progressLine, type StepListener } from './run/progress.ts';
import { stopSignal } from './stop.ts';

// One evaluation as a task's pod runs it: told what to do by VICUNA_TASK, watched by the operator, replaced when its node goes.

const envelopeSchema = z.object({
  /** namespace/pod. */
  name: z.string().regex(/^[^/\s]+\/[^/\s]+$/),
  operatorUrl: z.string().optional(),
  tokenFile: z.string().optional(),
  config: z.unknown(),
});

type Envelope = z.output<typeof envelopeSchema>;

const REPORT_EVERY_MS = 5_000;
const REPORT_TIMEOUT_MS = 2_000;
const TERMINATION_LOG = '/dev/termination-log';

/** Runs it and sets the exit code; what there is to say is in the termination message. */
export async function runTask(text: string): Promise<void> {
  const stop = stopSignal();
  try {
    const envelope = parseEnvelope(text);
    const task = parseConfig(envelope.config);
    const progress = new Progress(REAL_CLOCK, [progressLine(REAL_CLOCK, process.stderr), reporter(envelope)]);
    const { result } = await evaluate(task, {
      env: process.env,
      clock: REAL_CLOCK,
      random: Math.random,
      signal: stop,
      progress,
      onNotice: (sentence) => console.error(sentence),
      onEstimate: ({ judge, answers, total }) =>
        console.error(`about ${answers.requests + judge.requests} requests${total.about === null ? '' : `, $${total.about.toFixed(2)}`}`),
    });
    end(result);
  } catch (error) {
    if (stop.aborted) {
      process.exitCode = EXIT.terminated;
      return;
    }
    const failure = error instanceof Failure ? error : null;
    console.error(failure?.message ?? (error as Error).stack);
    end((error as Error).message);
    process.exitCode = failure?.exitCode ?? EXIT.other;
  }
}

function parseEnvelope(text: string): Envelope {
  try {
    return envelopeSchema.parse(JSON.parse(text));
  } catch {
    throw badConfiguration('VICUNA_TASK is not what the operator writes: {"name": "namespace/pod", "config": {…}}');
  }
}

function parseConfig(config: unknown): JudgeTask {
  try {
    return parseJudgeTask(config);
  } catch (error) {
    throw badConfiguration((error as Error).message);
  }
}

/** Writes the termination message, if there is somewhere to write it. */
function end(said: JudgeResult | string): void {
  const text = typeof said === 'string' ? said : JSON.stringify(said);
  try {
    writeFileSync(process.env.VICUNA_TERMINATION_LOG ?? TERMINATION_LOG, Buffer.from(text).subarray(0, MAX_RESULT_BYTES));
  } catch {
    // Outside a pod there is none.
  }
}

/** Tells the operator how far it is, every 5 s at most and as well as it goes: the work never waits for it. */
function reporter({ name, operatorUrl, tokenFile }: Envelope): StepListener {
  if (operatorUrl === undefined) return () => undefined;
  const url = `${operatorUrl.replace(/\/+$/, '')}/v1/tasks/${name.split('/').map(encodeURIComponent).join('/')}/report`;
  let sentAt = Number.NEGATIVE_INFINITY;
  return (step) => {
    const now = performance.now();
    if (now - sentAt < REPORT_EVERY_MS) return;
    sentAt = now;
    void send(url, tokenFile, JSON.stringify(step)).catch(() => undefined);
  };
}

async function send(url: string, tokenFile: string | undefined, body: string): Promise<void> {
  const token = tokenFile === undefined ? {} : { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` };
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...token },
    body,
    signal: AbortSignal.timeout(REPORT_TIMEOUT_MS),
  });
  await response.body?.cancel();
}

import type { JudgeResult } from '../../../operator/api/judge-result.ts';
import { type JudgeTask, promptsOf } from '../config.ts';
import { readEvaluation } from '../data.ts';
import { badConfiguration, badInput } from '../failure.ts';
import { parseQuestions, type Question, vicuna80 } from '../questions.ts';
import { makeReport, type Report } from '../report.ts';
import { reportMarkdown } from '../report-markdown.ts';
import { openStorage, readPlace } from '../storage.ts';
import type { Storage } from '../storage-contract.ts';
import { writeViewer } from '../viewer/write.ts';
import { Asker } from './asker.ts';
import { Chat, type ChatServer } from './chat.ts';
import type { Clock } from './clock.ts';
import { type CollectedAnswers, collectAnswers, readAnswers } from './collect-answers.ts';
import { collectReviews, type MadeReview } from './collect-reviews.ts';
import { type CostEstimate, estimateCost } from './estimate.ts';
import { BudgetReached, Ledger } from './ledger.ts';
import { writeEvaluation } from './output.ts';
import { Parts } from './parts.ts';
import type { Progress } from './progress.ts';
import { resultOf } from './result.ts';

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Something worth knowing that does not end the run. */
  readonly onNotice: (sentence: string) => void;
  readonly onEstimate: (estimate: CostEstimate) => void;
}

export interface Evaluated {
  readonly result: JudgeResult;
  readonly report: Report;
}

interface Prepared {
  readonly questions: readonly Question[];
  readonly answers: CollectedAnswers;
}

/** What is known before the first request: questions, and answers that lie in files. Rejects with a Failure for what cannot work. */
export async function prepare(task: JudgeTask): Promise<Prepared> {
  const { uri, limit } = task.questions;
  const all = uri === undefined ? vicuna80() : parseQuestions(await readPlace(uri), uri);
  const questions = all.slice(0, limit);
  const long = questions.find((q) => q.turns.length > 1);
  if (promptsOf(task) === 'vicuna' && long !== undefined)
    throw badConfiguration(`question ${long.id} has ${long.turns.length} turns, and the blog’s prompts judge one: set prompts: mt-bench`);
  const answers = new Map<string, Map<string, readonly string[]>>();
  for (const { name, answers: place } of modelsOf(task))
    answers.set(name, place === undefined ? new Map() : await readAnswers(place, questions));
  return { questions, answers };
}

const modelsOf = (task: JudgeTask) => [task.candidate, ...task.baselines];

/**
 * Runs an evaluation to its end or to its budget: answers, reviews, report and viewer, all under the output. What lies there already is
 * taken, so a run that died goes on. Rejects with a Failure that says why it cannot go on.
 */
export async function evaluate(task: JudgeTask, around: Surroundings): Promise<Evaluated> {
  const servers = serversOf(task, around.env);
  const { questions, answers } = await prepare(task);
  const estimate = estimateCost(task, questions, answers);
  around.onEstimate(estimate);
  const storage = await openStorage(task.output);
  const parts = await Parts.open(storage);
  const made: MadeReview[] = [];
  const budgetReached = await collect(task, around, { questions, answers, parts, servers, made });
  if (!made.some(({ part }) => part !== null))
    throw budgetReached
      ? badConfiguration('the budget does not allow a single review: give a larger one; what was paid for is kept')
      : badInput('there is nothing to judge: no question has the answers that are to be compared');
  await writeEvaluation(storage, task, questions, answers, made);
  const report = await writeReport(storage);
  return { report, result: resultOf({ task, questions, report, made, parts, estimate, budgetReached }) };
}

interface Collected extends Prepared {
  readonly parts: Parts;
  readonly servers: ReadonlyMap<string | null, ChatServer>;
  readonly made: MadeReview[];
}

/** Resolves to whether the budget ended it. */
async function collect(task: JudgeTask, around: Surroundings, { questions, answers, parts, servers, made }: Collected): Promise<boolean> {
  const ledger = new Ledger(task.budget, (parts.spent('answers').cost ?? 0) + (parts.spent('reviews').cost ?? 0));
  const prices = new Map([[null, task.judge.price], ...modelsOf(task).map((m) => [m.name, m.endpoint?.price] as const)]);
  const chats = new Map([...servers].map(([name, server]) => [name, new Chat(server, { ...around, onTrouble: around.onNotice })]));
  const askers = new Map([...chats].map(([name, chat]) => [name, new Asker(chat, prices.get(name), ledger, parts)]));
  const judge = askers.get(JUDGE);
  if (judge === undefined) throw badConfiguration('there is no judge');
  try {
    const models = new Map([...askers].flatMap(([name, asker]) => (name === null ? [] : [[name, asker]])));
    await collectAnswers(modelsOf(task), questions, answers, { ...around, askers: models });
    await collectReviews(task, questions, answers, made, { ...around, asker: judge });
    return false;
  } catch (error) {
    around.signal.throwIfAborted();
    if (error instanceof BudgetReached) return true;
    throw error;
  } finally {
    await Promise.all([...chats.values()].map((chat) => chat.close()));
  }
}

const JUDGE = null;

/** Who is asked, by name. Throws a Failure when a key is missing. */
function serversOf(task: JudgeTask, env: Surroundings['env']): Map<string | null, ChatServer> {
  const servers = new Map<string | null, ChatServer>();
  const add = (name: string | null, where: string, server: Omit<ChatServer, 'apiKey'> & { readonly apiKeyEnv?: string | undefined }) => {
    const { apiKeyEnv } = server;
    const apiKey = apiKeyEnv === undefined ? null : (env[apiKeyEnv]?.trim() ?? '');
    if (apiKey === '')
      throw badConfiguration(`the environment variable ${apiKeyEnv}, which ${where}.apiKeyEnv names, is not set: give the API key in it`);
    servers.set(name, { ...server, apiKey });
  };
  for (const [i, { name, endpoint }] of modelsOf(task).entries())
    if (endpoint !== undefined) add(name, i === 0 ? 'candidate.endpoint' : `baselines.${i - 1}.endpoint`, endpoint);
  add(JUDGE, 'judge', task.judge);
  return servers;
}

/** Report and viewer from what has been written: the same that the commands make of it later. */
async function writeReport(storage: Storage): Promise<Report> {
  const data = await readEvaluation(storage.uri);
  const report = makeReport(data);
  await storage.write('report.json', `${JSON.stringify(report, null, 2)}\n`);
  await storage.write('report.md', reportMarkdown(report));
  await writeViewer(data, report, (path, content) => storage.write(`viewer/${path}`, content));
  return report;
}

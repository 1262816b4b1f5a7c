import { parseAnswers } from '../answers.ts';
import type { ModelSource } from '../config.ts';
import { badInput } from '../failure.ts';
import type { Question } from '../questions.ts';
import { readPlace } from '../storage.ts';
import { answerRequest } from './answer-request.ts';
import type { Asker } from './asker.ts';
import { Refused } from './chat.ts';
import { concurrently, type Halt } from './concurrently.ts';
import { partName } from './parts.ts';
import type { Progress } from './progress.ts';

/** What the models said so far, by name and question. */
export type CollectedAnswers = ReadonlyMap<string, Map<string, readonly string[]>>;

/** A model's answers that lie in a file. A file that answers none of the questions is refused. */
export async function readAnswers(place: string, questions: readonly Question[]): Promise<Map<string, readonly string[]>> {
  const wanted = new Set(questions.map((q) => q.id));
  const answers = parseAnswers(await readPlace(place), place).filter((a) => wanted.has(a.question));
  if (answers.length === 0) throw badInput(`${place} answers none of the questions: is it for another set?`);
  return new Map(answers.map((a) => [a.question, a.turns]));
}

interface Collecting {
  readonly askers: ReadonlyMap<string, Asker>;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly onNotice: (sentence: string) => void;
}

/** Asks the served models every question, and fills in what they say. A question that a server refuses is told and left out. */
export async function collectAnswers(
  models: readonly ModelSource[],
  questions: readonly Question[],
  answers: CollectedAnswers,
  { askers, progress, signal, onNotice }: Collecting,
): Promise<void> {
  const served = models.flatMap(({ name, endpoint }) => {
    const [asker, own] = [askers.get(name), answers.get(name)];
    return endpoint && asker && own ? [{ name, endpoint, asker, own }] : [];
  });
  if (served.length === 0) return;
  progress.begin('Answers', 'answers', served.length * questions.reduce((sum, q) => sum + q.turns.length, 0));
  const halt: Halt = { failed: false };
  await concurrently(served, served.length, ({ name, endpoint, asker, own }) => {
    const work = async (question: Question) => {
      const said: string[] = [];
      try {
        while (said.length < question.turns.length) {
          const request = answerRequest(endpoint, question, said);
          // The server's address is not part of the name: a model may move.
          const kept = partName('answers', [name, `${question.id}-${said.length + 1}`], {
            model: endpoint.model,
            revision: endpoint.revision,
            request,
          });
          const { part, found } = await asker.ask(kept, request, signal);
          said.push(part.text);
          progress.advance(found);
        }
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        onNotice(`${name} does not answer question ${question.id}: ${error.message}`);
        return;
      }
      own.set(question.id, said);
    };
    return concurrently(questions, endpoint.concurrency, work, halt);
  });
}

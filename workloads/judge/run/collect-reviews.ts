import type { Answers } from '../answers.ts';
import type { JudgeTask } from '../config.ts';
import type { Question } from '../questions.ts';
import type { Asker } from './asker.ts';
import { Refused } from './chat.ts';
import { concurrently } from './concurrently.ts';
import { type Part, partName } from './parts.ts';
import type { Progress } from './progress.ts';
import { type PlannedReview, reviewRequest, reviewsOf } from './review-request.ts';

export interface MadeReview {
  readonly planned: PlannedReview;
  /** Null when there is none: an answer is missing, or the judge refused. */
  readonly part: Part | null;
}

interface Judging {
  readonly asker: Asker;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly onNotice: (sentence: string) => void;
}

/** Asks the judge for every review that is to be, and adds each to `made`: what is there when this rejects is there. */
export async function collectReviews(
  task: JudgeTask,
  questions: readonly Question[],
  answers: Answers,
  made: MadeReview[],
  { asker, progress, signal, onNotice }: Judging,
): Promise<void> {
  const planned = [...reviewsOf(task, questions)];
  progress.begin('Reviews', 'reviews', planned.length);
  await concurrently(planned, task.judge.concurrency, async (review) => {
    const { question, turn, first, second } = review;
    const request = reviewRequest(task, review, answers);
    let found = true;
    let part: Part | null = null;
    if (request !== null) {
      const pair = second === null ? first : `${first}_${second}`;
      const kept = partName('reviews', [pair, `${question.id}-${turn}`], { model: task.judge.model, request });
      try {
        ({ part, found } = await asker.ask(kept, request, signal));
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        onNotice(`no review of question ${question.id}, ${[first, second].filter((m) => m !== null).join(' and ')}: ${error.message}`);
      }
    }
    made.push({ planned: review, part });
    progress.advance(found);
  });
}

import type { Endpoint } from '../config.ts';
import type { Question } from '../questions.ts';
import type { ChatRequest, Message } from './chat.ts';

/** MT-bench's temperatures by category (llm_judge's temperature_config); what it does not name gets 0.7. */
const TEMPERATURES: Readonly<Record<string, number>> = {
  extraction: 0,
  math: 0,
  coding: 0,
  reasoning: 0,
  stem: 0.1,
  humanities: 0.1,
};
const OTHER = 0.7;

/** What a model is asked for its next turn, after what it said in those before. */
export function answerRequest(endpoint: Endpoint, question: Question, said: readonly string[]): ChatRequest {
  const messages = question.turns.slice(0, said.length + 1).flatMap((content, i): Message[] => {
    const answer = said[i];
    return [{ role: 'user', content }, ...(answer === undefined ? [] : [{ role: 'assistant' as const, content: answer }])];
  });
  return { messages, temperature: endpoint.temperature ?? TEMPERATURES[question.category] ?? OTHER, maxTokens: endpoint.maxTokens };
}

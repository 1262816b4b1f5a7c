import type { Asked } from './fake-endpoint.ts';

/**
 * A judge that likes length: of two answers the longer one is better, up to 10 points for 2,000 characters. It answers in the form that it
 * is asked for, as GPT-4 did: scores on line 1, for maths at the end, [[A]] or a rating.
 */
export function judgeByLength({ messages }: Asked): string {
  const system = messages.find((m) => m.role === 'system')?.content ?? '';
  const user = messages.find((m) => m.role === 'user')?.content ?? '';
  if (system.includes('[[A]]')) return choose(conversation(user, 'Assistant A'), conversation(user, 'Assistant B'));
  if (system.includes('[[5]]')) return `It is clear enough.\n\nRating: [[${points(conversation(user, 'Assistant'))}]]`;
  const [first, second] = [points(answer(user, 1)), points(answer(user, 2))];
  if (user.includes('output a Python tuple')) return `I solve the problem first.\n\nScores:\nAssistant 1: ${first}\nAssistant 2: ${second}`;
  return `${first} ${second}\nAssistant ${first < second ? 2 : 1} wrote more.`;
}

const points = (text: string) => Math.min(10, Math.max(1, Math.round(text.length / 100) / 2));

const choose = (a: string, b: string) => `Both try.\n\n[[${a.length === b.length ? 'C' : a.length > b.length ? 'A' : 'B'}]]`;

function answer(user: string, which: 1 | 2): string {
  const start = `[The Start of Assistant ${which}'s Answer]\n`;
  const from = user.indexOf(start);
  const to = user.indexOf(`\n\n[The End of Assistant ${which}'s Answer]`);
  if (from < 0 || to < from) throw new Error(`no answer of Assistant ${which} in the request`);
  return user.slice(from + start.length, to);
}

/** What an assistant said in the last turn. */
function conversation(user: string, who: string): string {
  const from = user.indexOf(`<|start of the conversation with ${who}|>`);
  const to = user.indexOf(`<|end of the conversation with ${who}|>`);
  if (from < 0 || to < from) throw new Error(`no conversation with ${who} in the request`);
  return user.slice(from, to).split(`### ${who}:\n`).at(-1) ?? '';
}

/** A conversation template as FastChat's workers tell it (`/worker_get_conv_template`). */
export interface Template {
  readonly system_template: string;
  readonly system_message: string;
  readonly roles: readonly string[];
  readonly messages?: readonly (readonly [role: string, text: string])[];
  readonly sep_style: number;
  readonly sep: string;
  readonly sep2: string | null;
  readonly stop_str: string | readonly string[] | null;
  readonly stop_token_ids: readonly number[] | null;
}

/** How a role and its text are joined, by FastChat's number of the style. Only the styles of models that it serves itself. */
interface Style {
  /** After the system's message. */
  readonly begin: (system: string, sep: string) => string;
  readonly said: (role: string, text: string) => string;
  readonly open: (role: string) => string;
  /** Whether every second message ends with the second separator. */
  readonly alternates: boolean;
}

const STYLES: Readonly<Record<number, Style>> = {
  1: { begin: (s, sep) => s + sep, said: (r, t) => `${r}: ${t}`, open: (r) => `${r}:`, alternates: false },
  2: { begin: (s, sep) => s + sep, said: (r, t) => `${r}: ${t}`, open: (r) => `${r}:`, alternates: true },
  3: { begin: (s, sep) => s + sep, said: (r, t) => `${r}: ${t}`, open: (r) => `${r}: `, alternates: false },
  4: { begin: (s) => s, said: (r, t) => r + t, open: (r) => r, alternates: false },
  5: { begin: (s) => s, said: (r, t) => r + t, open: (r) => r, alternates: true },
  6: { begin: (s, sep) => (s === '' ? '' : s + sep), said: (r, t) => `${r}\n${t}`, open: (r) => `${r}\n`, alternates: false },
  9: { begin: (s, sep) => (s === '' ? '' : `${s}${sep}\n`), said: (r, t) => `${r}\n${t}`, open: (r) => `${r}\n`, alternates: false },
};
const CHATML = 9;

export interface Message {
  readonly role: string;
  readonly content: string;
}

/**
 * The text that a FastChat worker is to continue. With `continues` the last message is the beginning of the answer. Throws a sentence
 * for a style that is not known here, and for roles that FastChat does not have.
 */
export function promptOf(template: Template, messages: readonly Message[], continues: boolean): string {
  const style = STYLES[template.sep_style];
  if (!style) throw new Error(`the template's style ${template.sep_style} is not known to this gateway`);
  const system = messages.findLast((m) => m.role === 'system' || m.role === 'developer')?.content ?? template.system_message;
  const [user = 'USER', assistant = 'ASSISTANT'] = template.roles;
  const turns: [string, string][] = [...(template.messages ?? [])].map(([role, text]) => [role, text]);
  for (const { role, content } of messages) {
    if (role === 'user') turns.push([user, content]);
    else if (role === 'assistant') turns.push([assistant, content]);
    else if (role !== 'system' && role !== 'developer') throw new Error(`the role ${role} is not known to FastChat's workers`);
  }
  const begun = continues ? turns.pop() : undefined;
  const separator = (i: number) => (style.alternates && i % 2 === 1 ? (template.sep2 ?? template.sep) : template.sep);
  let prompt = style.begin(
    template.system_template.replace('{system_message}', () => system),
    template.sep,
  );
  turns.forEach(([role, text], i) => {
    prompt += style.said(role, text) + separator(i) + (template.sep_style === CHATML ? '\n' : '');
  });
  return prompt + (begun ? style.said(assistant, begun[1]) : style.open(assistant));
}

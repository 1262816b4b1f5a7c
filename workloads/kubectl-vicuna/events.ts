import type { CoreV1Event } from '@kubernetes/client-node';
import { clock } from './format.ts';
import { type ExplainOptions, Page } from './page.ts';
import { plain } from './terminal.ts';

/** More of them say no more. */
const EVENTS_SHOWN = 10;

/** What was said of the object as it happened, the newest last; null = it may not be read. Pure. */
export function eventLines(list: readonly CoreV1Event[] | null, options: ExplainOptions): string[] {
  const { now, paint } = options;
  const page = new Page('Events', options);
  if (list === null) page.say('Your rights do not let you list events here.');
  else if (list.length === 0) page.say('None: clusters keep them for an hour or so.');
  const newest = (list ?? []).toSorted((a, b) => eventTime(a) - eventTime(b)).slice(-EVENTS_SHOWN);
  for (const event of newest) {
    const { type, reason, count = 1, message } = event;
    const word = type === 'Warning' ? paint.yellow(reason ?? type) : reason;
    page.say(`${clock(eventTime(event), now)} ${word}${count > 1 ? `, ${count} times` : ''}: ${plain(message ?? '')}`);
  }
  return ['', ...page.lines];
}

function eventTime({ lastTimestamp, eventTime: time, metadata }: CoreV1Event): number {
  return new Date(lastTimestamp ?? time ?? metadata.creationTimestamp ?? 0).getTime();
}

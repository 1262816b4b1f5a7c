import { describe, expect, it } from 'vitest';
import { bar, humanSeconds, StepDisplay } from './progress.ts';

function captured(isTTY: boolean) {
  const lines: string[] = [];
  return { output: { isTTY, write: (text: string) => lines.push(text) }, lines };
}

describe('StepDisplay', () => {
  it('writes plain lines without a terminal, and does not repeat itself', () => {
    const { output, lines } = captured(false);
    let now = 1_000_000;
    const display = new StepDisplay(output, ['Tools', 'Cluster'], { env: {}, clock: () => now });
    display.begin('downloading kube-apiserver');
    display.update('building kube-apiserver'); // something else, so it is told at once
    display.update('building kube-apiserver', 0.5, 120);
    now += 20_000;
    display.update('building kubelet', 0.71, 130);
    display.end('ready');
    expect(lines).toEqual([
      '  1/2  Tools          downloading kube-apiserver\n',
      '  1/2  Tools          building kube-apiserver\n',
      '  1/2  Tools          building kubelet  ███████░░░ 71 %  about 2 min left\n',
      '  1/2  Tools          ready  20 s\n',
    ]);
  });

  it('draws over its line on a terminal, and keeps colours out when NO_COLOR is set', () => {
    const { output, lines } = captured(true);
    const display = new StepDisplay(output, ['Tools'], { env: { NO_COLOR: '1' }, clock: () => 0 });
    display.begin('one');
    display.update('two');
    expect(lines[1]).toBe('\r\u001b[2K  1/1  Tools          two');
    expect(lines.join('')).not.toContain('\u001b[2m');
  });
});

it('bar and humanSeconds', () => {
  expect(bar(0)).toBe('░░░░░░░░░░');
  expect(bar(2)).toBe('██████████');
  expect([0.2, 8, 119, 3_900].map(humanSeconds)).toEqual(['1 s', '8 s', '2 min', '1 h 5 min']);
});

import { describe, expect, it } from 'vitest';
import { parseCommand } from './command.ts';

describe('the command line of the cluster', () => {
  it.each([
    [['up'], { command: 'up' }],
    [['down'], { command: 'down' }],
    [['kill', 'aws-a-1'], { command: 'kill', node: 'aws-a-1' }],
    [['interrupt', 'aws-a-1'], { command: 'interrupt', node: 'aws-a-1' }],
    [['interrupt', 'aws-a-1', '--notice', '0'], { command: 'interrupt', node: 'aws-a-1', notice: 0 }],
    [['interrupt', '--notice=2.5', 'aws-a-1'], { command: 'interrupt', node: 'aws-a-1', notice: 2.5 }],
    [['kill', '--help'], { command: 'help' }],
  ])('%j is understood', (args, command) => {
    expect(parseCommand(args)).toEqual(command);
  });

  it.each([
    [[], 'Say what to do'],
    [['frob'], 'no command "frob"'],
    [['kill'], "needs a node's name"],
    [['kill', 'a', 'b'], 'one node at a time'],
    [['up', 'aws-a-1'], 'takes nothing more'],
    [['up', '--bogus'], "Unknown option '--bogus'"],
    [['kill', 'a', '--notice', '3'], '--notice goes with interrupt'],
    // Anything that is not a number would be a timer of no time at all: the node would die at once.
    [['interrupt', 'a', '--notice', 'soon'], 'not "soon"'],
    [['interrupt', 'a', '--notice', ''], 'not ""'],
    [['interrupt', 'a', '--notice=-1'], 'not "-1"'],
    [['interrupt', 'a', '--notice', 'Infinity'], 'not "Infinity"'],
    [['interrupt', 'a', '--notice', '1e9'], 'not "1e9"'],
  ])('%j is refused with a sentence', (args, mistake) => {
    expect(parseCommand(args)).toEqual({ mistake: expect.stringContaining(mistake) });
  });
});

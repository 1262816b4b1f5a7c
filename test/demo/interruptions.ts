import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import type { DemoCluster, DemoNode } from './demo-cluster.ts';

/** Shares of all steps at which something happens at the earliest, and what. */
const SCRIPT: readonly { at: number; notice: boolean }[] = [
  { at: 0.1, notice: true },
  { at: 0.3, notice: false },
  { at: 0.5, notice: true },
  { at: 0.7, notice: false },
  { at: 0.85, notice: true },
];
/** Notice that the demo's clouds give. AWS gives 120 s and Google 30 s; less is harder, and quicker to watch. */
const NOTICE_SECONDS = 20;

/** Takes nodes away from a training as it goes, and brings others back. */
export class Interruptions {
  readonly #cluster: DemoCluster;
  readonly #say: (line: string) => void;
  #next = 0;
  #busy = false;
  #stopped = false;
  readonly #told = new Set<string>();

  constructor(cluster: DemoCluster, say: (line: string) => void) {
    this.#cluster = cluster;
    this.#say = say;
  }

  stop(): void {
    this.#stopped = true;
  }

  onStatus(training: VicunaTraining): void {
    this.#tell(training);
    const { status } = training;
    const planned = SCRIPT[this.#next];
    const { step = 0, totalSteps = 0 } = status?.progress ?? {};
    const pending = (status?.interruptions ?? []).some((r) => r.resumedAt === undefined);
    if (
      this.#busy ||
      this.#stopped ||
      !planned ||
      totalSteps === 0 ||
      pending ||
      status?.phase !== 'Running' ||
      step < planned.at * totalSteps
    )
      return;
    const pool = status.pool ?? '';
    const node = this.#cluster.nodes().find((n) => n.pool === pool && n.isSpot);
    if (!node) return; // on-demand nodes are not taken back; the training moves to spot again when that pays
    this.#next++;
    this.#busy = true;
    void this.#interrupt(node, planned.notice, pool).catch((error: Error) => {
      // The cluster's end withdraws what was still to come.
      if (!this.#stopped) this.#say(`problem    ${error.message}`);
    });
  }

  async #interrupt(node: DemoNode, notice: boolean, pool: string): Promise<void> {
    if (notice) {
      const { seconds, gone } = await this.#cluster.interrupt(node, NOTICE_SECONDS);
      this.#say(`notice     ${pool} takes node ${node.name} back in ${seconds} s`);
      await gone;
    } else {
      this.#say(`kill -9    node ${node.name} of ${pool} is gone, without notice`);
      await this.#cluster.kill(node);
    }
    if (this.#stopped) return;
    // A new machine of the same kind comes up a little later, as an autoscaler would bring it.
    await this.#cluster.replace(node);
    this.#busy = false;
    if (!this.#stopped) this.#say(`node       ${node.name} is back: a new machine`);
  }

  /** Says once what each interruption's record shows. */
  #tell({ status }: VicunaTraining): void {
    for (const record of status?.interruptions ?? []) {
      const key = record.noticedAt + (record.pods[0] ?? '');
      const once = (what: string, line: () => string) => {
        if (this.#told.has(`${key} ${what}`)) return;
        this.#told.add(`${key} ${what}`);
        this.#say(line());
      };
      const after = (time: string) => `${((Date.parse(time) - Date.parse(record.noticedAt)) / 1000).toFixed(1)} s`;
      const { checkpointAckedAt, replacedAt, resumedAt } = record;
      if (checkpointAckedAt)
        once('saved', () => `save       step ${record.checkpointStep} committed ${after(checkpointAckedAt)} after the notice`);
      if (replacedAt)
        once('moved', () => `move       → ${status?.pool}, ${after(replacedAt)} after ${record.notice ? 'the notice' : 'the loss'}`);
      // A training may reach its end before it would have resumed.
      if (resumedAt && record.resumedStep !== undefined)
        once(
          'resumed',
          () =>
            `resumed    at step ${record.resumedStep}, verified; ${record.lostSteps ?? 0} steps lost, training again after ${after(resumedAt)}`,
        );
    }
  }
}

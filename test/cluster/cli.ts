// `npm run cluster -- up|down|status|interrupt NODE|kill NODE|restore NODE`: the embedded cluster by hand.
import { Cluster, clusterNames, removeCluster } from './cluster.ts';
import { parseCommand } from './command.ts';
import { DEMO_NODES } from './demo-nodes.ts';
import { missingPrerequisites } from './preflight.ts';
import { StepDisplay } from './progress.ts';

const USAGE = `usage: npm run cluster -- COMMAND

  up                 start a cluster of ${DEMO_NODES.length} nodes on two clouds, in the background
  down               end it and remove everything it made
  status             its nodes, and where its kubeconfig is
  interrupt NODE     take a node back as its cloud does: the notice now, the end when it is over (--notice SECONDS)
  kill NODE          kill a node without notice
  restore NODE       bring a node that was taken away back
`;

const NAME = 'manual';

async function up(): Promise<void> {
  const missing = missingPrerequisites({ nodes: true });
  if (missing.length > 0) throw new Error(missing.join('\n'));
  const display = new StepDisplay(process.stdout, ['Tools', 'Cluster']);
  let step = '';
  const cluster = await Cluster.start({
    nodes: DEMO_NODES,
    name: NAME,
    progress: (name, detail, share, left) => {
      if (name !== step) {
        if (step !== '') display.end('ready');
        step = name;
        display.begin(detail);
      } else display.update(detail, share, left);
    },
  });
  display.end(`${cluster.nodes.length} nodes ready`);
  cluster.keep();
  cluster.client.close();
  console.log(
    `\nexport KUBECONFIG=${cluster.kubeconfig}\n\nS3: ${cluster.s3.url} (${cluster.s3.accessKey} / ${cluster.s3.secretKey}). End it with: npm run cluster -- down`,
  );
}

async function attached(): Promise<Cluster> {
  if (!clusterNames().includes(NAME)) throw new Error('there is no cluster: start one with `npm run cluster -- up`');
  return Cluster.attach(NAME);
}

/** Removes every cluster that no living process owns: this one, a demo's that was kept, and what crashes have left. */
async function down(): Promise<number> {
  const names = clusterNames();
  if (names.length === 0) console.log('there is no cluster');
  let refused = 0;
  for (const name of names) {
    await removeCluster(name).then(
      () => console.log(`${name} is gone`),
      (error: Error) => {
        refused++;
        console.error(error.message);
      },
    );
  }
  return refused === 0 ? 0 : 1;
}

async function status(): Promise<void> {
  const cluster = await attached();
  console.log(`export KUBECONFIG=${cluster.kubeconfig}`);
  for (const { name, cloud, zone, capacity, gpus } of cluster.nodes)
    console.log(`${name.padEnd(16)} ${cloud.padEnd(10)} ${zone.padEnd(16)} ${capacity.padEnd(9)} ${gpus} GPUs`);
}

async function main(args: readonly string[]): Promise<number> {
  const parsed = parseCommand(args);
  if ('mistake' in parsed) {
    console.error(`${parsed.mistake}\n\n${USAGE}`);
    return 2;
  }
  const { node = '' } = parsed;
  switch (parsed.command) {
    case 'help':
      console.log(USAGE);
      return 0;
    case 'up':
      await up();
      return 0;
    case 'down':
      return down();
    case 'status':
      await status();
      return 0;
    case 'interrupt': {
      const cluster = await attached();
      const { seconds, gone } = await cluster.interruptNode(node, parsed.notice === undefined ? {} : { noticeSeconds: parsed.notice });
      console.log(`${node} has notice; it goes in ${seconds} s`);
      await gone;
      console.log(`${node} is gone`);
      return 0;
    }
    case 'kill':
      await (await attached()).killNode(node);
      console.log(`${node} is gone`);
      return 0;
    case 'restore':
      await (await attached()).restoreNode(node);
      console.log(`${node} is ready`);
      return 0;
  }
}

process.exit(
  await main(process.argv.slice(2)).catch((error: Error) => {
    console.error(error.message);
    return 1;
  }),
);

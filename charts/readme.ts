import { valuesTable } from './values.ts';

/** The chart's README. */
export function chartReadme(): string {
  return `# Helm chart of the Vicuna operator

<!-- Generated from charts/readme.ts and charts/values.ts by \`npm run generate\`. Do not edit. -->

Two copies of the operator with leader election, their Service, roles, disruption budget and NetworkPolicy, and the definitions of the
kinds; monitors, alerts, dashboards and the notifier where you switch them on. Gateways and engines are not part of it: the operator makes
them for each VicunaServing. For Helm 3 and 4, and Kubernetes 1.32 or later. [docs/install.md](../../docs/install.md) says how to install,
upgrade and uninstall.

## Values

${valuesTable()}

## Why the definitions are templates

Helm never upgrades or removes what is in a chart's \`crds/\` directory. Here they are templates with the annotation
\`helm.sh/resource-policy: keep\`: every upgrade and rollback brings the definitions of its version, and an uninstall leaves them, and with
them all your objects, where they are. \`crds.install=false\` leaves them to you (GitOps, another release); \`crds.keep=false\` has an
uninstall remove everything.
`;
}

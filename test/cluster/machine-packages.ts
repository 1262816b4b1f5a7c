import type { KubeClient } from '../../operator/kube/client.ts';
import type { KubeObject, ResourceType } from '../../operator/kube/types.ts';
import { pythonSitePackages } from './python.ts';

const NAME = 'site-packages';

const policyType = (kind: string, plural: string): ResourceType<KubeObject> => ({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind,
  plural,
  namespaced: false,
});

/** Which pods: those of the project's own development images that do not have the mount already. */
const CONCERNED = `object.spec.containers.exists(c, has(c.image) && c.image.startsWith('vicuna/')) && !(has(object.spec.volumes) && object.spec.volumes.exists(v, v.name == '${NAME}'))`;

const mounted = (field: string) =>
  `object.spec.${field}.map(c, Object.spec.${field}{name: c.name, volumeMounts: [Object.spec.${field}.volumeMounts{name: '${NAME}', mountPath: '/opt/site-packages', readOnly: true}]})`;

/**
 * Lets the development images run as they are, without a word of this machine in anybody's objects: the API server adds to their pods a
 * read-only mount of the machine's heavy Python packages, which those images do not carry.
 */
export async function mountMachinePackages(client: KubeClient): Promise<void> {
  const path = await pythonSitePackages();
  const volume = `Object.spec.volumes{name: '${NAME}', hostPath: Object.spec.volumes.hostPath{path: '${path}', type: 'Directory'}}`;
  const init = `initContainers: has(object.spec.initContainers) ? ${mounted('initContainers')} : []`;
  const expression = `Object{spec: Object.spec{volumes: [${volume}], containers: ${mounted('containers')}, ${init}}}`;
  const spec = {
    matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }] },
    matchConditions: [{ name: 'development-images', expression: CONCERNED }],
    failurePolicy: 'Fail',
    reinvocationPolicy: 'Never',
    mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
  };
  const policy = { metadata: { name: 'machine-packages' }, spec } as KubeObject;
  await client.create(policyType('MutatingAdmissionPolicy', 'mutatingadmissionpolicies'), policy);
  const binding = { metadata: { name: 'machine-packages' }, spec: { policyName: 'machine-packages' } } as KubeObject;
  await client.create(policyType('MutatingAdmissionPolicyBinding', 'mutatingadmissionpolicybindings'), binding);
}

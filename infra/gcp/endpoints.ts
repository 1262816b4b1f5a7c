import * as gcp from '@pulumi/gcp';
import * as kubernetes from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { GATEWAY_PORT, GATEWAY_PRIVATE_PORT } from '../../operator/serving/names.ts';
import { gatewaySelector } from '../shared/in-cluster.ts';
import type { GkeCluster } from './cluster.ts';
import type { GcpSettings } from './settings.ts';

/** Longest that an answer may take; Google's load balancer cuts it off after 30 s without this. */
const ANSWER_SECONDS = 3_600;

export interface GcpEndpointsArgs {
  readonly cluster: GkeCluster;
  readonly namespace: string;
  readonly endpoints: NonNullable<GcpSettings['endpoints']>;
}

/**
 * The gateway of a serving under a name, by Gateway API: GKE makes the load balancer, and removes it with the Gateway object, which Pulumi
 * waits for. Certificate and name are Pulumi's.
 */
export class GcpEndpoints extends pulumi.ComponentResource {
  constructor(name: string, { cluster, namespace, endpoints }: GcpEndpointsArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:Endpoints', name, {}, options);
    const { managedZone, gateway } = endpoints;
    const { host, serving, allow } = gateway;
    const parent = { parent: this };
    const inCluster = { parent: this, provider: cluster.kubernetes };
    const address = new gcp.compute.GlobalAddress(name, {}, parent);
    const proof = new gcp.certificatemanager.DnsAuthorization(name, { domain: host }, parent);
    const challenge = proof.dnsResourceRecords.apply((records) => {
      const [record] = records;
      if (record === undefined) throw new Error(`Google names no record that would prove ${host} to be yours`);
      return record;
    });
    new gcp.dns.RecordSet(
      `${name}-proof`,
      { managedZone, name: challenge.name, type: challenge.type, ttl: 300, rrdatas: [challenge.data] },
      parent,
    );
    const certificate = new gcp.certificatemanager.Certificate(
      name,
      { managed: { domains: [host], dnsAuthorizations: [proof.id] } },
      parent,
    );
    const map = new gcp.certificatemanager.CertificateMap(name, {}, parent);
    const mapped = new gcp.certificatemanager.CertificateMapEntry(
      name,
      { map: map.name, hostname: host, certificates: [certificate.id] },
      parent,
    );
    new gcp.dns.RecordSet(name, { managedZone, name: `${host}.`, type: 'A', ttl: 300, rrdatas: [address.address] }, parent);
    const filter = allow.includes('0.0.0.0/0') ? null : addressFilter(name, allow, parent);
    const metadata = { name: `${name}-gateway`, namespace };
    const port = GATEWAY_PORT;
    new kubernetes.core.v1.Service(
      `${name}-gateway`,
      { metadata, spec: { selector: gatewaySelector(serving), ports: [{ name: 'http', port, targetPort: port }] } },
      inCluster,
    );
    const entrance = new kubernetes.apiextensions.CustomResource(
      `${name}-entrance`,
      {
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'Gateway',
        metadata: { ...metadata, annotations: { 'networking.gke.io/certmap': map.name } },
        spec: {
          gatewayClassName: 'gke-l7-global-external-managed',
          listeners: [{ name: 'https', protocol: 'HTTPS', port: 443, hostname: host }],
          addresses: [{ type: 'NamedAddress', value: address.name }],
        },
      },
      { ...inCluster, dependsOn: [mapped] },
    );
    const backend = { group: '', kind: 'Service', name: metadata.name };
    const object = (key: string, apiVersion: string, kind: string, spec: object) =>
      new kubernetes.apiextensions.CustomResource(
        `${name}-${key}`,
        { apiVersion, kind, metadata, spec },
        { ...inCluster, dependsOn: [entrance] },
      );
    object('route', 'gateway.networking.k8s.io/v1', 'HTTPRoute', {
      parentRefs: [{ name: metadata.name }],
      hostnames: [host],
      rules: [{ backendRefs: [{ name: metadata.name, port }] }],
    });
    object('policy', 'networking.gke.io/v1', 'GCPBackendPolicy', {
      default: {
        timeoutSec: ANSWER_SECONDS,
        connectionDraining: { drainingTimeoutSec: 600 },
        ...(filter === null ? {} : { securityPolicy: filter.name }),
      },
      targetRef: backend,
    });
    object('health', 'networking.gke.io/v1', 'HealthCheckPolicy', {
      default: {
        config: {
          type: 'HTTP',
          httpHealthCheck: { portSpecification: 'USE_FIXED_PORT', port: GATEWAY_PRIVATE_PORT, requestPath: '/readyz' },
        },
      },
      targetRef: backend,
    });
    this.registerOutputs();
  }
}

/** Lets these ranges through, and nobody else. */
function addressFilter(name: string, ranges: string[], options: pulumi.CustomResourceOptions): gcp.compute.SecurityPolicy {
  const match = (srcIpRanges: string[]) => ({ versionedExpr: 'SRC_IPS_V1', config: { srcIpRanges } });
  return new gcp.compute.SecurityPolicy(
    name,
    {
      rules: [
        { action: 'allow', priority: 1_000, match: match(ranges) },
        { action: 'deny(403)', priority: 2_147_483_647, match: match(['*']) },
      ],
    },
    options,
  );
}

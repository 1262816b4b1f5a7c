import { z } from 'zod';

/** What a schema's `.meta()` may carry into the CRD besides its description. */
export interface CrdMeta {
  'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  'x-kubernetes-list-map-keys'?: readonly string[];
  'x-kubernetes-map-type'?: 'atomic' | 'granular';
  'x-kubernetes-preserve-unknown-fields'?: true;
  'x-kubernetes-int-or-string'?: true;
  'x-kubernetes-validations'?: readonly Rule[];
}

/** A CEL rule and the sentence that the API server answers with when it does not hold. */
export interface Rule {
  readonly rule: string;
  readonly message?: string;
  readonly fieldPath?: string;
}

export interface ObjectMeta {
  name?: string;
  namespace?: string;
  uid?: string;
  generation?: number;
  resourceVersion?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  creationTimestamp?: string;
  deletionTimestamp?: string;
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
}

export const GROUP = 'vicuna.run';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** The value may not change once set. */
export function immutable(field: string): Rule {
  return { rule: 'self == oldSelf', message: `${field} cannot be changed: create a new object instead` };
}

export const DNS_SUBDOMAIN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
const MONEY = '^[0-9]{1,9}(\\.[0-9]{1,6})?$';

/** A decimal amount of US dollars as a string, "118.40": floats would drift and round differently in every client. */
export function dollars(description: string) {
  return z.string().max(16).regex(new RegExp(MONEY)).describe(description);
}

export function time(description: string) {
  return z.string().max(40).describe(description).meta({ format: 'date-time' });
}

export const conditionSchema = z
  .object({
    type: z.string().min(1).max(316).describe('type of the condition.'),
    status: z.enum(['True', 'False', 'Unknown']).describe('status of the condition.'),
    reason: z.string().min(1).max(1024).describe('reason in one CamelCase word.'),
    message: z.string().max(32768).describe('message for people: what is the case and what to do.'),
    lastTransitionTime: time('lastTransitionTime is when the status last changed.'),
    observedGeneration: z.int().min(0).optional().describe('observedGeneration is the metadata.generation that the condition speaks of.'),
  })
  .describe('One aspect of the state of the object.');

export const conditionsSchema = z
  .array(conditionSchema)
  .max(16)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
  .describe('conditions of the object, one of each type.');

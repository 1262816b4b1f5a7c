import { z } from 'zod';
import { DURATION_PATTERN } from './duration.ts';

/** A CEL rule and the sentence that the API server answers with when it does not hold. */
export interface Rule {
  readonly rule: string;
  /** Says what to do. */
  readonly message: string;
  /** A CEL expression for a message with the values in it; `message` stands in where it cannot be worked out. */
  readonly messageExpression?: string;
  /** The field that the API server names, when it is not the one that has the rule. */
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
  return { rule: 'self == oldSelf', message: `${field} is fixed once the object exists: create a new object under another name instead` };
}

/** Optional fields of the spec that may not change, appear or vanish; for the rules of the spec, since an absent field has none itself. */
export function fixed(...fields: string[]): Rule[] {
  return fields.map((field) => ({
    rule: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
    message: `spec.${field} is fixed once the object exists: create a new object under another name instead`,
    fieldPath: `.${field}`,
  }));
}

/** What a string must look like, and the sentence that refuses others: it says how to write it, which an expression does not. */
export interface Form {
  readonly pattern: RegExp;
  readonly minLength?: 0;
  readonly maxLength: number;
  readonly sentence: string;
}

/** A string of a form. The API server checks it by a rule with the form's sentence. */
export function formed({ pattern, minLength, maxLength, sentence }: Form, description: string, more: readonly Rule[] = []) {
  const rule = `self.matches(r'${pattern.source.replaceAll('\\/', '/')}')`;
  return z
    .string()
    .min(minLength ?? 1)
    .max(maxLength)
    .regex(pattern, sentence)
    .meta({ 'x-kubernetes-validations': [{ rule, message: sentence }, ...more] })
    .describe(description);
}

export const DNS_NAME: Form = {
  pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  maxLength: 253,
  sentence: 'no name of an object: use lower-case letters, digits, "-" and ".", such as s3-credentials',
};

const DOLLARS: Form = {
  pattern: /^[0-9]{1,9}(\.[0-9]{1,6})?$/,
  maxLength: 16,
  sentence: 'no amount of US dollars: write it in quotes without sign or currency, such as "12.50"',
};

/** A decimal amount of US dollars as a string, "118.40": floats would drift and round differently in every client. */
export function dollars(description: string) {
  return formed(DOLLARS, description);
}

const DURATION: Form = {
  pattern: DURATION_PATTERN,
  maxLength: 32,
  sentence: 'no duration: write it as 90s, 10m, 24h or 1h30m, the larger unit first',
};

const NOT_ZERO: Rule = { rule: "!self.matches('^[0dhms]+$')", message: 'must be longer than zero, such as 10m' };

/** A length of time as a string, "10m". */
export function duration(description: string, { zero = false } = {}) {
  return formed(DURATION, description, zero ? [] : [NOT_ZERO]);
}

const LABEL_KEY = '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$';

const LABEL_VALUE: Form = {
  pattern: /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/,
  minLength: 0,
  maxLength: 63,
  sentence: 'no label value: use letters, digits, "-", "_" and ".", beginning and ending with a letter or digit',
};

/** At least one label; keys and values are such that a node or an object can carry them. */
export function labels(field: string, description: string) {
  return z
    .record(z.string().max(317), formed(LABEL_VALUE, 'value of the label.'))
    .meta({
      maxProperties: 16,
      'x-kubernetes-validations': [
        { rule: 'size(self) > 0', message: `${field} must name at least one label, or everything would match` },
        {
          rule: `self.all(k, k.size() <= 317 && k.matches(r'${LABEL_KEY}'))`,
          message: `${field} has a key that no label can have: write it as name or domain/name, such as topology.kubernetes.io/zone`,
        },
      ],
    })
    .describe(description);
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
  .describe('conditions of the object, one of each type; docs/reference lists them.');

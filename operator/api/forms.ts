import { z } from 'zod';
import { DNS_NAME, type Form, formed } from './meta.ts';

// What several kinds' specs have in common.

export const SOURCE_URI: Form = {
  pattern: /^((s3|pvc):\/\/[^/\s]+(\/\S*)?|file:\/\/\/\S*|hf:\/\/[^/\s]+\/\S+)$/,
  maxLength: 1_024,
  sentence:
    'no URI to read from: write s3://bucket/path, hf://owner/name, pvc://claim/path or file:///directory (a gs:// bucket by its S3 interface)',
};

export const STORAGE_URI: Form = {
  pattern: /^((s3|pvc):\/\/[^/\s]+(\/\S*)?|file:\/\/\/\S*)$/,
  maxLength: 1_024,
  sentence: 'no place to keep files: write s3://bucket/path, pvc://claim/path or file:///directory (a gs:// bucket by its S3 interface)',
};

export const IMAGE: Form = {
  pattern: /^\S+$/,
  maxLength: 512,
  sentence: 'no image: write it without spaces, such as registry.example.com/trainer:1.0',
};

const CPU = '^([0-9]{1,6}|[0-9]{1,6}[.][0-9]{1,3}|[0-9]{1,9}m)$';

export const MEMORY: Form = {
  pattern: /^[1-9][0-9]{0,14}(k|Ki|M|Mi|G|Gi|T|Ti)?$/,
  maxLength: 16,
  sentence: 'no amount of memory: write it as 512Mi, 64Gi or 1Ti',
};

/** An amount of CPU, as a number of cores or a quantity. */
export function cpu(description: string) {
  return z
    .union([z.string().max(16), z.int().min(0)])
    .describe(description)
    .meta({
      'x-kubernetes-int-or-string': true,
      maxLength: 16,
      'x-kubernetes-validations': [
        {
          rule: `type(self) == int ? self >= 0 : string(self).matches(r'${CPU}')`,
          message: 'no number of cores: write it as 8, "0.5" or 500m',
        },
      ],
    });
}

/** Secrets for the environment of pods. */
export function credentials(pods: string) {
  return z
    .array(z.strictObject({ name: formed(DNS_NAME, 'name of a Secret in the same namespace.') }))
    .max(16)
    .default([])
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
    .describe(`credentials: Secrets whose keys become environment variables of the ${pods}, such as AWS_ACCESS_KEY_ID. Default: none.`);
}

export const HTTP_URL: Form = {
  pattern: /^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/,
  maxLength: 1_024,
  sentence: 'no URL: write it as http://host:port or https://host/path, without user, query and fragment',
};

/** An amount of accelerator memory. */
export const GPU_MEMORY: Form = {
  pattern: /^[1-9][0-9]{0,9}(Mi|Gi|Ti)$/,
  maxLength: 13,
  sentence: 'no amount of memory: write it as 80Gi',
};

/** GiB of an amount in GPU_MEMORY's form. */
export function gibOf(amount: string): number {
  const unit = { Mi: 1 / 1_024, Gi: 1, Ti: 1_024 }[amount.slice(-2)] ?? Number.NaN;
  return Number(amount.slice(0, -2)) * unit;
}

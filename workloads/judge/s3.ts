import {
  GetObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { Failure, storageFailed } from './failure.ts';
import { MAX_FILE_BYTES, type Storage, tooLarge } from './storage-contract.ts';

const CONNECT_MS = 5_000;
const REQUEST_MS = 60_000;
const ATTEMPTS = 4;

/** A prefix of a bucket. Credentials, region and AWS_ENDPOINT_URL come from the environment, as with every client of Amazon's. */
export function openBucket(uri: string): Storage {
  const [bucket = '', ...rest] = uri.slice('s3://'.length).split('/');
  const prefix = rest.join('/');
  const key = (path: string) => [prefix, path].filter((p) => p !== '').join('/');
  const foreign = (process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL) !== undefined;
  const client = new S3Client({
    // Servers other than Amazon's do not care for the region, but the client wants one.
    ...(foreign && process.env.AWS_REGION === undefined ? { region: 'us-east-1' } : {}),
    // They rarely know buckets' host names or checksum trailers.
    ...(foreign ? { forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' as const } : {}),
    maxAttempts: ATTEMPTS,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: REQUEST_MS },
  });
  const guarded = async <T>(path: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      throw error instanceof Failure ? error : storageFailed(`s3://${bucket}/${key(path)}`, error);
    }
  };
  return {
    uri,
    read: (path) =>
      guarded(path, async () => {
        try {
          const { Body, ContentLength = 0 } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key(path) }));
          if (ContentLength > MAX_FILE_BYTES) throw tooLarge(`s3://${bucket}/${key(path)}`, ContentLength);
          return Buffer.from((await Body?.transformToByteArray()) ?? []);
        } catch (error) {
          if (error instanceof NoSuchKey) return null;
          throw error;
        }
      }),
    write: (path, content) =>
      guarded(path, async () => {
        const body = typeof content === 'string' ? Buffer.from(content) : content;
        await client.send(new PutObjectCommand({ Bucket: bucket, Key: key(path), Body: body, ContentType: contentType(path) }));
      }),
    list: (directory) =>
      guarded(directory, async () => {
        const start = directory === '' ? key('') : `${key(directory)}/`;
        const below = start === '' || start.endsWith('/') ? start : `${start}/`;
        const found: string[] = [];
        let token: string | undefined;
        do {
          const page: ListObjectsV2CommandOutput = await client.send(
            new ListObjectsV2Command({ Bucket: bucket, Prefix: below, ...(token === undefined ? {} : { ContinuationToken: token }) }),
          );
          for (const { Key } of page.Contents ?? []) if (Key !== undefined) found.push(Key.slice(prefix === '' ? 0 : prefix.length + 1));
          token = page.NextContinuationToken;
        } while (token !== undefined);
        return found.toSorted();
      }),
  };
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
  json: 'application/json',
  md: 'text/markdown; charset=utf-8',
};

/** So that a viewer in a bucket can be opened where it lies. */
const contentType = (path: string) => TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cloudOf, hasGpu } from './machine.ts';

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true });
});

function sys(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'vicuna-sys-'));
  made.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return root;
}

const EMPTY = '/nonexistent';

describe('the cloud of a machine', () => {
  it.each<[string | null, string, Record<string, string>]>([
    ['aws', 'a Nitro instance', { 'class/dmi/id/sys_vendor': 'Amazon EC2' }],
    ['aws', 'a Xen instance', { 'class/dmi/id/sys_vendor': 'Xen', 'class/dmi/id/bios_version': '4.11.amazon' }],
    ['gcp', 'a Compute Engine VM', { 'class/dmi/id/sys_vendor': 'Google', 'class/dmi/id/product_name': 'Google Compute Engine' }],
    ['azure', 'an Azure VM', { 'class/dmi/id/chassis_asset_tag': '7783-7084-3265-9085-8269-3286-77' }],
    [null, 'Hyper-V at home', { 'class/dmi/id/sys_vendor': 'Microsoft Corporation' }],
    [null, 'a laptop', { 'class/dmi/id/sys_vendor': 'LENOVO' }],
  ])('is %s by the firmware of %s', (cloud, _, files) => {
    expect(cloudOf(undefined, undefined, sys(files))).toBe(cloud);
  });

  it.each<[string, string | null]>([
    ['aws:///us-east-1a/i-0abc', 'aws'],
    ['gce://project/us-central1-a/vm', 'gcp'],
    ['azure:///subscriptions/x', 'azure'],
    ['kind://docker/kind/worker', null],
  ])('by provider ID %s is %s', (id, cloud) => {
    expect(cloudOf(undefined, id, EMPTY)).toBe(cloud);
  });

  it('is as told', () => {
    expect(cloudOf('none', 'aws:///x', EMPTY)).toBeNull();
    expect(cloudOf('azure', 'aws:///x', EMPTY)).toBe('azure');
    expect(() => cloudOf('aws2', undefined, EMPTY)).toThrow('set it to aws, gcp, azure or none');
  });
});

describe('a GPU', () => {
  const device = (vendor: string, kind: string) => ({
    'bus/pci/devices/0000:00:1e.0/vendor': vendor,
    'bus/pci/devices/0000:00:1e.0/class': kind,
  });
  it('is a display controller of NVIDIA’s on the bus', () => {
    expect(hasGpu(sys(device('0x10de', '0x030200')))).toBe(true);
    expect(hasGpu(sys(device('0x10de', '0x068000')))).toBe(false);
    expect(hasGpu(sys(device('0x1d0f', '0x030000')))).toBe(false);
    expect(hasGpu(EMPTY)).toBe(false);
  });
});

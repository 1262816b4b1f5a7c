import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cloud } from './announcement.ts';

const CLOUDS: readonly string[] = ['aws', 'gcp', 'azure'];

/**
 * Which cloud this machine belongs to: as told, else by its Node's provider ID, which the cloud's controller has set, else by what the
 * firmware says of itself. Null where there is no cloud that is known.
 */
export function cloudOf(told: string | undefined, providerId: string | undefined, sys = '/sys'): Cloud | null {
  if (told !== undefined && told !== 'none' && !CLOUDS.includes(told))
    throw new Error(`CLOUD is "${told}": set it to aws, gcp, azure or none, or leave it out to have it found out`);
  if (told !== undefined) return told === 'none' ? null : (told as Cloud);
  const byProvider = { aws: 'aws', gce: 'gcp', azure: 'azure' }[/^([a-z]+):\/\//.exec(providerId ?? '')?.[1] ?? ''];
  if (byProvider !== undefined) return byProvider as Cloud;
  const firmware = (name: string) => text(join(sys, 'class', 'dmi', 'id', name));
  if (firmware('sys_vendor') === 'Amazon EC2' || /amazon/i.test(firmware('bios_version'))) return 'aws';
  if (firmware('product_name') === 'Google Compute Engine') return 'gcp';
  // By which Azure's machines differ from others of the same hypervisor.
  if (firmware('chassis_asset_tag') === '7783-7084-3265-9085-8269-3286-77') return 'azure';
  return null;
}

/** Whether the machine has an accelerator of NVIDIA's. */
export function hasGpu(sys = '/sys'): boolean {
  const devices = join(sys, 'bus', 'pci', 'devices');
  try {
    return readdirSync(devices).some(
      (device) => text(join(devices, device, 'vendor')) === '0x10de' && text(join(devices, device, 'class')).startsWith('0x03'),
    );
  } catch {
    return false;
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

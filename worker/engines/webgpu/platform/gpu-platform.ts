// What the webgpu engine needs of its platform: Node, through the package `webgpu`, or a browser.
import type { EngineIdentity } from '../../../../shared/protocol/engine-identity.js';
import { fingerprintOfDevice, type DeviceFields } from '../../../../shared/protocol/engines/probed-fingerprint.js';

export interface GpuPlatform {
  /** Name and version of the runtime, for error messages. */
  readonly runtime: string;
  /** Whether the platform hides fields of an adapter, which are then empty. */
  readonly hidesFields: boolean;
  /** Returns the adapter to compute on, or null if there is none. An adapter gives a single device. */
  requestAdapter(): Promise<GPUAdapter | null>;
}

/**
 * Version of everything that the engine's bits depend on besides the device. Increment it with every change to a kernel or to
 * the order of operations.
 */
const version = 1;

/** Names of adapters that are CPUs, for platforms that do not mark them as fallback adapters. */
const softwareAdapters = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** Returns the fields of an adapter that the platform exposes. */
function fieldsOf({ info }: Pick<GPUAdapter, 'info'>, { hidesFields }: Pick<GpuPlatform, 'hidesFields'>): DeviceFields {
  const { vendor, architecture, device, description } = info;
  const fields = { vendor, architecture, device, description };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '' || !hidesFields));
}

/** Whether an adapter is a CPU that emulates a GPU. */
export function isSoftware({ info }: Pick<GPUAdapter, 'info'>): boolean {
  const { vendor, architecture, device, description } = info;
  return info.isFallbackAdapter || softwareAdapters.test([vendor, architecture, device, description].join(' '));
}

/** Returns the identity of the engine on an adapter. A probe completes its fingerprint. */
export function identityOf(adapter: Pick<GPUAdapter, 'info'>, platform: GpuPlatform): EngineIdentity {
  const fields = fieldsOf(adapter, platform);
  const { vendor, architecture, device, description } = fields;
  const known = [description, device, architecture, vendor].find((value) => value !== undefined && value !== '');
  return {
    engine: 'webgpu',
    fingerprint: fingerprintOfDevice(`webgpu/${version}`, fields),
    device: `${known ?? 'a GPU'} (${platform.runtime})`.slice(0, 200),
    needsProbe: true,
    ...(isSoftware(adapter) && { onlyIfNamed: true }),
  };
}

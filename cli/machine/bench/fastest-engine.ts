// Opens the engine that `auto` would choose on this machine, by measuring those that load.
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import { DeviceModels, type ModelSpec } from '../../../worker/device-models.js';
import type { Engine, EngineModel, EngineOptions } from '../../../worker/engine.js';
import { openEngines } from '../../../worker/engines/registry.js';
import { cacheFolder } from '../../../shared/cache-folder.js';
import { EngineSpeeds } from '../../../worker/measurement/engine-speeds.js';
import { DiskSpeedCache } from '../../../worker/measurement/speed-cache.js';
import type { EngineName } from '../../../shared/engine-names.js';
import { LockstepError } from '../../../shared/errors.js';

export interface OpenModel {
  engine: EngineIdentity;
  model: EngineModel;
  /** The measured speeds, from fast to slow; empty if there was no choice. */
  speeds: { engine: string; imagesPerSecond: number }[];
  /** Releases the model and stops the engine's threads. */
  close: () => Promise<void>;
}

/**
 * Opens the engine, or the fastest one for `auto`, and creates the model. Throws the errors of openEngines.
 * @param onMessage receives progress and warnings
 */
export async function openFastest(
  { engine: name, ...options }: EngineOptions & { engine: EngineName },
  spec: ModelSpec,
  imagesPerSlice: number,
  onMessage: (message: string) => void,
): Promise<OpenModel> {
  const engines = await openEngines(name, options);
  const devices = new DeviceModels(engines);
  const close = async () => {
    devices.dispose();
    await Promise.all(engines.map((engine: Engine) => engine.close()));
  };
  const measured = engines.length === 1 ? [] : await measure(devices, spec, imagesPerSlice, onMessage);
  if (engines.length > 1 && measured.length === 0) {
    await close();
    throw new LockstepError('no-engine', 'no engine can run this model');
  }
  const chosen = measured[0]?.identity ?? engines[0].identity;
  devices.keepOnly(chosen.fingerprint);
  const model = await devices.load(chosen.fingerprint, spec);
  const speeds = measured.map(({ identity: { engine }, imagesPerSecond }) => ({ engine, imagesPerSecond }));
  return { engine: chosen, model, speeds, close };
}

/** Returns the engines that can run the model, from fast to slow. */
async function measure(
  devices: DeviceModels,
  spec: ModelSpec,
  imagesPerSlice: number,
  onMessage: (message: string) => void,
): Promise<{ identity: EngineIdentity; imagesPerSecond: number }[]> {
  const speeds = new EngineSpeeds(devices, new DiskSpeedCache(cacheFolder()), {
    onMeasuring: (names) => onMessage(`measuring ${names.join(', ')}`),
    onFailure: onMessage,
  });
  const offers = devices.offers.filter(({ onlyIfNamed }) => onlyIfNamed !== true);
  const measured = await speeds.measure(offers, spec, imagesPerSlice);
  return measured
    .toSorted((a, b) => b.imagesPerSecond - a.imagesPerSecond)
    .map(({ fingerprint, imagesPerSecond }) => ({ identity: devices.identityOf(fingerprint)!, imagesPerSecond }));
}

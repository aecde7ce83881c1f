// Tells how fast a worker's engines compute a run's slices: from the cache, or by measuring them.
import { messageOf } from '../../shared/errors.js';
import { graphSha256 } from '../../shared/network/graph-json.js';
import type { EngineIdentity } from '../../shared/protocol/engine-identity.js';
import type { DeviceModels, ModelSpec } from '../device-models.js';
import type { EngineModel } from '../engine.js';
import { measureModels } from './measure-models.js';

export interface EngineSpeed {
  fingerprint: string;
  imagesPerSecond: number;
}

/** Remembers measured speeds, so that a machine measures each of its engines once per kind of run. */
export interface SpeedCache {
  /** Returns the remembered speeds in images per second by key, from oldest to newest. */
  read(): Promise<ReadonlyMap<string, number>>;
  /** Adds speeds. Other processes may add theirs at the same time; the last one wins. */
  add(speeds: ReadonlyMap<string, number>): Promise<void>;
}

export interface SpeedHandlers {
  /** Called before a measurement, but not if all speeds are in the cache. */
  onMeasuring: (engines: string[]) => void;
  /** Called if an engine cannot run the model, or if the cache cannot be written. */
  onFailure: (message: string) => void;
}

export class EngineSpeeds {
  readonly #devices: DeviceModels;
  readonly #cache: SpeedCache;
  readonly #handlers: SpeedHandlers;

  constructor(devices: DeviceModels, cache: SpeedCache, handlers: SpeedHandlers) {
    this.#devices = devices;
    this.#cache = cache;
    this.#handlers = handlers;
  }

  /**
   * Returns the speed of each of these engines, except those that cannot run the model. Measures only if a speed is not
   * in the cache.
   * @param signal stops the measurement and makes it reject
   */
  async of(
    engines: readonly EngineIdentity[],
    spec: ModelSpec,
    imagesPerSlice: number,
    signal: AbortSignal,
  ): Promise<EngineSpeed[]> {
    const known = await this.#cache.read();
    const remembered = engines.flatMap((engine) => {
      const imagesPerSecond = known.get(keyOf(engine, spec, imagesPerSlice));
      return imagesPerSecond === undefined ? [] : [{ fingerprint: engine.fingerprint, imagesPerSecond }];
    });
    return remembered.length === engines.length ? remembered : this.measure(engines, spec, imagesPerSlice, signal);
  }

  /** Measures the engines and updates the cache; see `of`. */
  async measure(
    engines: readonly EngineIdentity[],
    spec: ModelSpec,
    imagesPerSlice: number,
    signal?: AbortSignal,
  ): Promise<EngineSpeed[]> {
    this.#handlers.onMeasuring(engines.map(({ engine }) => engine));
    const loaded = await this.#loadAll(engines, spec);
    const models = loaded.map(({ model }) => model);
    const onFailure = (index: number, error: unknown) => this.#reportFailure(loaded[index].engine, error);
    const speeds = await measureModels(models, spec.layout, imagesPerSlice, onFailure, signal);
    const measured = loaded.flatMap(({ engine }, index) => {
      const imagesPerSecond = speeds[index];
      return imagesPerSecond === undefined ? [] : [{ engine, imagesPerSecond }];
    });
    await this.#cache
      .add(
        new Map(measured.map(({ engine, imagesPerSecond }) => [keyOf(engine, spec, imagesPerSlice), imagesPerSecond])),
      )
      .catch((error: unknown) => this.#handlers.onFailure(`the measured speeds cannot be cached: ${messageOf(error)}`));
    return measured.map(({ engine: { fingerprint }, imagesPerSecond }) => ({ fingerprint, imagesPerSecond }));
  }

  #reportFailure({ engine }: EngineIdentity, error: unknown): void {
    this.#handlers.onFailure(`${engine} cannot run this model: ${messageOf(error)}`);
  }

  async #loadAll(engines: readonly EngineIdentity[], spec: ModelSpec) {
    const loaded: { engine: EngineIdentity; model: EngineModel }[] = [];
    for (const engine of engines) {
      try {
        loaded.push({ engine, model: await this.#devices.load(engine.fingerprint, spec) });
      } catch (error) {
        this.#reportFailure(engine, error);
      }
    }
    return loaded;
  }
}

/** Returns what a speed depends on. The device's description contains the number of threads. */
function keyOf({ device, fingerprint }: EngineIdentity, { layout }: ModelSpec, imagesPerSlice: number): string {
  const { height, width, channels, classCount } = layout.data;
  const network = [graphSha256(layout.graph), height, width, channels, classCount];
  return JSON.stringify([device, fingerprint, ...network, imagesPerSlice]);
}

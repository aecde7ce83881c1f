// The webgpu engine on a device that may be lost. Opens the device when a model is created, turns a loss into an error that
// makes the worker rejoin its run, and opens the next device after a pause, which grows with each loss.
import type { Preprocessing, ImageBatch } from '../../../../shared/dataset/image-batch.js';
import type { Clock } from '../../../../shared/clock.js';
import { LockstepError } from '../../../../shared/errors.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import type { EngineIdentity } from '../../../../shared/protocol/engine-identity.js';
import type { Engine, EngineModel } from '../../../engine.js';
import { identityOf, type GpuPlatform } from './gpu-platform.js';

/** Opens the engine on a device, which the engine destroys when it is closed. */
export type OpenOnDevice = (device: GPUDevice, identity: EngineIdentity) => Promise<Engine>;

/** Number of losses in a row after which the engine is not opened anymore. */
const maxLosses = 5;
/** Number of slices after which earlier losses are forgotten. */
const slicesToForget = 100;
/** Pause before the first device after a loss. It doubles with each further loss. */
const firstPauseMs = 1_000;
/** A loss is reported shortly after the operations that fail because of it. */
const lossDelayMs = 1_000;

export class DeviceEngine implements Engine {
  readonly identity: EngineIdentity;
  readonly #platform: GpuPlatform;
  readonly #openOn: OpenOnDevice;
  readonly #clock: Clock;
  #device: OpenDevice | undefined;
  #losses = 0;
  #slicesSinceLoss = 0;
  #endPause: () => void = () => undefined;
  #isClosed = false;

  /** @param identity identity of the engine on the platform's adapter */
  constructor(identity: EngineIdentity, platform: GpuPlatform, openOn: OpenOnDevice, clock: Clock) {
    this.identity = identity;
    this.#platform = platform;
    this.#openOn = openOn;
    this.#clock = clock;
  }

  async createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<EngineModel> {
    if (this.#device === undefined || this.#device.isLost) this.#device = await this.#reopen();
    const device = this.#device;
    const model = await device.guard(device.engine.createModel(layout, preprocessing, labelSmoothing));
    return guarded(model, device, () => this.#slicesSinceLoss++);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#endPause();
    await this.#device?.engine.close();
  }

  async #reopen(): Promise<OpenDevice> {
    if (this.#device !== undefined) await this.#afterLoss(this.#device);
    const adapter = await this.#platform.requestAdapter();
    if (adapter === null) throw new LockstepError('engine-failed', `${this.#platform.runtime} has no GPU anymore`);
    const { fingerprint } = identityOf(adapter, this.#platform);
    if (fingerprint !== this.identity.fingerprint) {
      throw new LockstepError(
        'engine-failed',
        `the GPU has changed from ${this.identity.fingerprint} to ${fingerprint}: start the worker again`,
      );
    }
    return OpenDevice.open(adapter, this.identity, this.#openOn, this.#clock);
  }

  /** Waits before another device is opened. Throws if too many have been lost. */
  async #afterLoss({ lossReason }: OpenDevice): Promise<void> {
    this.#losses = this.#slicesSinceLoss >= slicesToForget ? 1 : this.#losses + 1;
    this.#slicesSinceLoss = 0;
    if (this.#losses >= maxLosses) {
      throw new LockstepError(
        'engine-failed',
        `the GPU was lost ${this.#losses} times in a row, the last time because ${lossReason}: check its driver, or use another engine`,
      );
    }
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(firstPauseMs * 2 ** (this.#losses - 1), resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
    if (this.#isClosed) throw new LockstepError('engine-failed', 'the engine has been closed');
  }
}

/** A device with the engine on it. */
class OpenDevice {
  readonly engine: Engine;
  readonly #clock: Clock;
  /** Rejects when the device is lost. */
  readonly #loss: Promise<never>;
  #lossReason: string | undefined;

  static async open(
    adapter: GPUAdapter,
    identity: EngineIdentity,
    openOn: OpenOnDevice,
    clock: Clock,
  ): Promise<OpenDevice> {
    const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
    const device = await adapter.requestDevice({
      // The kernels fit the default limits. Large slices need larger buffers.
      requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
      requiredFeatures: adapter.features.has('timestamp-query') ? ['timestamp-query'] : [],
    });
    return new OpenDevice(device.lost, await openOn(device, identity), clock);
  }

  constructor(lost: GPUDevice['lost'], engine: Engine, clock: Clock) {
    this.engine = engine;
    this.#clock = clock;
    this.#loss = lost.then(({ reason, message }) => {
      this.#lossReason = message.trim().split('\n', 1)[0] || `of an unknown reason (${reason})`;
      throw new LockstepError('device-lost', `the GPU was lost: ${this.#lossReason}`);
    });
    // It matters only to operations that are under way.
    this.#loss.catch(() => undefined);
  }

  get isLost(): boolean {
    return this.#lossReason !== undefined;
  }

  get lossReason(): string {
    return this.#lossReason ?? 'it was closed';
  }

  /** Returns the result of an operation. Throws `device-lost` if the device is lost meanwhile. */
  async guard<Result>(operation: Promise<Result>): Promise<Result> {
    try {
      return await Promise.race([operation, this.#loss]);
    } catch (error) {
      await this.#throwIfLost();
      throw error;
    }
  }

  /** Waits for the loss that may have made an operation fail. Throws it if it comes. */
  async #throwIfLost(): Promise<void> {
    let cancel: () => void = () => undefined;
    const waited = new Promise<void>((resolve) => {
      cancel = this.#clock.after(lossDelayMs, resolve);
    });
    await Promise.race([this.#loss, waited]).finally(() => cancel());
  }
}

/** Makes the model throw `device-lost` if the device is lost. It keeps its other methods. */
function guarded(model: EngineModel, device: OpenDevice, onSlice: () => void): EngineModel {
  const computeSlice = model.computeSlice.bind(model);
  const evaluate = model.evaluate.bind(model);
  const enqueue = model.enqueue?.bind(model);
  return Object.assign(model, {
    async computeSlice(batch: ImageBatch) {
      const result = await device.guard(computeSlice(batch));
      onSlice();
      return result;
    },
    evaluate: (batch: ImageBatch) => device.guard(evaluate(batch)),
    ...(enqueue !== undefined && {
      // The call of computeSlice that follows reports the loss.
      enqueue: (batch: ImageBatch) => (device.isLost ? undefined : enqueue(batch)),
    }),
  });
}

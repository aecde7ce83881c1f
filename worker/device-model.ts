// Holds the model on an engine's device. The model outlives the connection, so a worker that rejoins the same run does
// not have to create it again.
import type { Preprocessing } from '../shared/dataset/image-batch.js';
import { layoutHash } from '../shared/network/layout-hash.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { Engine, EngineModel } from './engine.js';

export class DeviceModel {
  readonly #engine: Engine;
  #current: { key: string; model: EngineModel } | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Returns the current model if it was created with equal arguments. Otherwise, replaces it with a new one. */
  async load(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing: number): Promise<EngineModel> {
    const key = JSON.stringify([layoutHash(layout), layout.spec.bnEpsilon, preprocessing, labelSmoothing]);
    if (this.#current?.key !== key) {
      this.dispose();
      this.#current = { key, model: await this.#engine.createModel(layout, preprocessing, labelSmoothing) };
    }
    return this.#current.model;
  }

  dispose(): void {
    this.#current?.model.dispose();
    this.#current = undefined;
  }
}

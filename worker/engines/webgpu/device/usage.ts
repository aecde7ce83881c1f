// Flags of the WebGPU specification. Node has no globals for them.
export const bufferUsage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
export const queryResolveUsage = 512;
export const computeStage = 4;
export const mapModeRead = 1;

import { host } from './platform/host.js';

/** The package's version, from its package.json. */
export const lockstepVersion = host.version;

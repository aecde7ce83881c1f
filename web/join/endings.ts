// Explains why a device cannot join or had to stop, and what to do about it. Pure.
import type { JoinProblem } from '../../shared/monitoring/join.js';
import type { BrowserWorkerError } from '../tab/start-worker.js';
import type { Ending } from './state.js';

/** The engine that all browsers have. */
const browserEngine = 'wasm';

export const closedReasons: Readonly<Record<Exclude<JoinProblem, 'full'> | 'incomplete', string>> = {
  expired: 'The link has expired. Ask whoever sent it for a new one.',
  revoked: 'The link was revoked. Ask whoever sent it for a new one.',
  unknown: 'The coordinator does not know this link, which may have expired. Ask whoever sent it for a new one.',
  ended: 'The run has ended, so there is nothing to compute.',
  incomplete: 'The address of this page does not contain a complete link. Open the link again, or copy all of it.',
};

/**
 * Returns why this browser cannot compute with the engine of a run; undefined if it may be able to.
 * @param engine engine of the run; null if the run uses any
 * @param hasWebGpu whether the browser has WebGPU, which does not mean that it finds a GPU
 */
export function describeMissingEngine(engine: string | null, hasWebGpu: boolean): string | undefined {
  if (engine === null || engine === browserEngine || (engine === 'webgpu' && hasWebGpu)) return undefined;
  const ask = `ask whoever sent the link for a run with --engine ${browserEngine}.`;
  if (engine === 'webgpu') {
    return `The run uses WebGPU, which this browser does not have, or not on this page. Open the link in another browser, or ${ask}`;
  }
  return `The run uses the ${engine} engine, which browsers do not have. To use a browser, ${ask}`;
}

/** Describes an error that ended a worker. */
export function describeFailure({
  code,
  refusal,
  message,
}: Pick<BrowserWorkerError, 'code' | 'refusal' | 'message'>): Ending {
  return { how: 'failed', problem: asSentence(message), ...(adviceOn(refusal ?? code) ?? unknownProblem) };
}

type Advice = Pick<Ending & { how: 'failed' }, 'title' | 'remedy' | 'canRetry'>;

const unknownProblem: Advice = {
  title: 'This device had to stop',
  remedy: 'Try again. If that does not help, reload the page.',
  canRetry: true,
};

/** @param code code of a refusal or of another error */
function adviceOn(code: string): Advice | undefined {
  switch (code) {
    case 'fingerprint':
      return {
        title: 'This run needs an engine that this browser does not have',
        remedy: `Try another browser or another device, or ask whoever sent the link for a run with --engine ${browserEngine}.`,
        canRetry: false,
      };
    case 'token':
      return {
        title: 'The link is not valid anymore',
        remedy: 'It may have expired or been revoked. Ask whoever sent it for a new one.',
        canRetry: false,
      };
    case 'protocol-version':
      return {
        title: 'This page is out of date',
        remedy: 'Reload it to get the version that the coordinator serves.',
        canRetry: false,
      };
    case 'unreachable':
      return {
        title: 'The coordinator cannot be reached',
        remedy: 'Check the network of this device, and that the run is still going. Then try again.',
        canRetry: true,
      };
    case 'engine-failed':
    case 'no-engine':
      return {
        title: 'This device could not compute',
        remedy: 'It may be short of memory: close other tabs and try again, or use another browser.',
        canRetry: true,
      };
    case 'bad-config':
      return {
        title: 'Browsers cannot compute this network',
        remedy: 'Nothing can be done on this device. Tell whoever sent the link.',
        canRetry: false,
      };
    default:
      return undefined;
  }
}

/** Makes a message a sentence: with a capital letter, unless it begins with a URL, and a period. */
export function asSentence(message: string): string {
  const first = /^[a-z]+:\/\//.test(message) ? message : message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

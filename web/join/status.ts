// What the device is doing, in words: for the page, for the title of the tab, and for screen readers.
import { computed } from '@preact/signals';
import { percent, wholeNumber } from '../common/numbers.js';
import { asSentence } from './endings.js';
import { activity, connection, contribution, isIdle, isPaused, run, view } from './state.js';

export interface Status {
  text: string;
  tone: 'active' | 'quiet' | 'late' | 'bad';
  /** Why, and what happens next; empty if there is nothing to explain. */
  explanation: string;
}

export const status = computed((): Status => {
  if (isPaused.value) {
    const explanation = 'This device has left the run until you continue. Other workers take over its slices.';
    return { text: 'Paused', tone: 'late', explanation };
  }
  const link = connection.value;
  if (link.phase === 'lost') {
    return { text: 'Reconnecting', tone: 'bad', explanation: `The connection is lost. ${asSentence(link.reason)}` };
  }
  if (link.phase === 'connecting') return { text: 'Connecting', tone: 'quiet', explanation: '' };
  const doing = activity.value;
  switch (doing.phase) {
    case 'joining':
      return { text: 'Joined', tone: 'quiet', explanation: 'The run starts when enough workers have joined.' };
    case 'measuring': {
      const explanation = `Measuring how fast this device computes with ${doing.engines.join(' and ')}.`;
      return { text: 'Measuring', tone: 'active', explanation };
    }
    case 'preparing':
    case 'computing': {
      if (isIdle.value) return doing.phase === 'computing' ? spare : waiting;
      if (doing.phase === 'computing') return { text: 'Computing', tone: 'active', explanation: '' };
      const explanation = 'Receiving training images and weights for the first slice.';
      return { text: 'Preparing', tone: 'active', explanation };
    }
    default:
      return doing satisfies never;
  }
});

const waiting: Status = {
  text: 'Waiting',
  tone: 'late',
  explanation:
    'This device is connected but has had no slices yet: the run may be waiting for more workers or be paused, or the other ' +
    'workers are faster. Until then, it is a spare.',
};

const spare: Status = {
  text: 'Spare',
  tone: 'late',
  explanation:
    'This device is connected but has had no slices for a while, most likely because the other workers are faster. It is ' +
    'a spare, and takes over when one of them leaves.',
};

/** Returns the share of the run's steps that are done; undefined if it is not known yet. */
export function progressOfRun(): number | undefined {
  const { value } = run;
  return value === null || value.steps === 0 ? undefined : value.steps / value.totalSteps;
}

/** Title of the browser tab. It changes while the device works, which also keeps Chromium from discarding the tab. */
export const tabTitle = computed(() => {
  if (view.value.phase === 'over') return `${view.value.ending.how === 'failed' ? 'Stopped' : 'Done'} · Lockstep`;
  if (view.value.phase !== 'working') return 'Join a training run · Lockstep';
  const progress = progressOfRun();
  const { images } = contribution.value;
  const parts = [
    status.value.text,
    ...(progress === undefined ? [] : [percent(progress, 0)]),
    ...(images === 0 ? [] : [`${wholeNumber(images)} images`]),
  ];
  return `${parts.join(' · ')} · Lockstep`;
});

/** Text for screen readers: changes with the status, and after each tenth of the run, but not with every number. */
export const announcement = computed(() => {
  if (view.value.phase !== 'working') return '';
  const { text, explanation } = status.value;
  const tenths = Math.floor(10 * (progressOfRun() ?? 0));
  const sentences = [`${text}.`, explanation, tenths > 0 ? `${10 * tenths}% of the run is done.` : ''];
  return sentences.filter((sentence) => sentence !== '').join(' ');
});

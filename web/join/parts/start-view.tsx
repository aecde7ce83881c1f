// The page before the click: what the link is for, or why it cannot be used.
import { about, type View } from '../state.js';
import { byteSize } from '../../common/numbers.js';
import { join } from '../work.js';
import { Heading } from './heading.js';
import { Limits } from './limits.js';

type StartPhase = Exclude<View, { phase: 'working' | 'over' }>;

export function StartView({ view }: { view: StartPhase }) {
  switch (view.phase) {
    case 'opening':
      return (
        <section class="card">
          <Heading>Join a training run</Heading>
          <p class="muted">Asking the coordinator…</p>
        </section>
      );
    case 'unreachable':
      return (
        <section class="card">
          <Heading>The coordinator does not answer</Heading>
          <p role="alert">The run may have ended, or this device may be offline. Reload the page to try again.</p>
        </section>
      );
    case 'closed':
      return (
        <section class="card">
          <Heading>This device cannot join</Heading>
          <p role="alert">{view.reason}</p>
        </section>
      );
    case 'ready':
      return <Invitation isFull={view.isFull} />;
    default:
      return view satisfies never;
  }
}

function Invitation({ isFull }: { isFull: boolean }) {
  const { network, dataset, classCount, organizer, bytesPerStep } = about.value!;
  return (
    <section class="card">
      <Heading>Join a training run</Heading>
      <p class="sentence">
        Your browser will help train <strong>{network}</strong> on <strong>{dataset}</strong> ({classCount} classes) for{' '}
        <strong>{organizer}</strong>: it will receive training images and weights, and compute with this device's
        processor.
      </p>
      {isFull && (
        <p class="notice late">
          As many browsers as this link allows are computing now. This one would join when one of them leaves.
        </p>
      )}
      <Limits />
      <button type="button" class="filled start" onClick={join}>
        Start computing
      </button>
      <p class="hint">
        It transfers up to {byteSize(bytesPerStep)} each way in every step. You can pause or leave at any time: other
        workers then take over.
      </p>
    </section>
  );
}

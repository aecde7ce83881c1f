// Tests how operators' requests determine the training loop's next action.
import { describe, expect, it } from 'vitest';
import { RunControl } from '../../../coordinator/training/run-control.js';

const never = new AbortController().signal;

describe('RunControl', () => {
  it('continues with steps if there are no requests', () => {
    const control = new RunControl();
    expect(control.next()).toBe('step');
    expect(control.phase).toBe('running');
  });

  it('pauses when the current step ends, until a request to continue', async () => {
    const control = new RunControl();
    expect(control.request('pause')).toBeUndefined();
    expect(control.phase).toBe('pausing');
    expect(control.next()).toBe('wait');
    expect(control.phase).toBe('paused');
    const changed = control.changed(never);
    control.request('continue');
    await changed;
    expect(control.next()).toBe('step');
  });

  it('saves once per request, even while paused', async () => {
    const control = new RunControl();
    control.request('pause');
    expect(control.next()).toBe('wait');
    const changed = control.changed(never);
    control.request('checkpoint');
    await changed;
    expect([control.next(), control.next()]).toEqual(['save', 'wait']);
    expect(control.phase).toBe('paused');
  });

  it('does not pause after a request to continue within the same step', () => {
    const control = new RunControl();
    control.request('pause');
    expect(control.request('continue')).toBeUndefined();
    expect(control.next()).toBe('step');
  });

  it('refuses a request with a reason', () => {
    const control = new RunControl();
    expect(control.request('continue')).toBe('the run is not paused');
    control.request('pause');
    expect(control.request('pause')).toBe('the run is already pausing');
  });

  it('stops waiting when the run is aborted', async () => {
    const control = new RunControl();
    const abort = new AbortController();
    control.request('pause');
    const changed = control.changed(abort.signal);
    abort.abort();
    await changed;
    await control.changed(abort.signal);
    expect(control.phase).toBe('pausing');
  });
});

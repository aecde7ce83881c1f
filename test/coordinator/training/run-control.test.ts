// What an operator asks for and what the loop is told between steps.
import { describe, expect, it } from 'vitest';
import { RunControl } from '../../../coordinator/training/run-control.js';

const never = new AbortController().signal;

describe('a run’s control', () => {
  it('lets steps go on while nothing is asked for', () => {
    const control = new RunControl();
    expect(control.next()).toBe('step');
    expect(control.phase).toBe('running');
  });

  it('pauses once the loop asks, until it is told to go on', async () => {
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

  it('saves once for each time that this is asked for, also while it is paused', async () => {
    const control = new RunControl();
    control.request('pause');
    expect(control.next()).toBe('wait');
    const changed = control.changed(never);
    control.request('checkpoint');
    await changed;
    expect([control.next(), control.next()]).toEqual(['save', 'wait']);
    expect(control.phase).toBe('paused');
  });

  it('that is told to go on before the step has ended does not pause', () => {
    const control = new RunControl();
    control.request('pause');
    expect(control.request('continue')).toBeUndefined();
    expect(control.next()).toBe('step');
  });

  it('says why something cannot be had', () => {
    const control = new RunControl();
    expect(control.request('continue')).toBe('the run is not paused');
    control.request('pause');
    expect(control.request('pause')).toBe('the run is already pausing');
  });

  it('stops waiting when the run is stopped', async () => {
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

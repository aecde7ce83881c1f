// What a reader may change: how much is smoothed, what the horizontal axis counts, and whether the loss is logarithmic.
import type { RunCurves } from './curves.js';
import { element } from './dom.js';
import { axes, placesOn, type View } from './run-lines.js';

export interface ControlState extends View {
  isLogarithmic: boolean;
}

export interface Controls {
  bar: HTMLElement;
  /** As it is at first. */
  state: ControlState;
  /** Shows, and has said, what does not go with the choices made; nothing where it is empty. */
  say(trouble: string): void;
}

export function controls(runs: readonly RunCurves[], changed: (state: ControlState) => void): Controls {
  const smoothing = element('input', { type: 'range', min: 0, max: 0.99, step: 0.01, value: 0.9, id: 'smoothing' });
  const smoothingValue = element('output', { for: 'smoothing' }, smoothing.value);
  const axis = element('select', { id: 'axis' });
  for (const name of axes) {
    // An axis on which no run has a place is none.
    const isKnown = runs.some((run) => placesOn(name, run) !== undefined);
    axis.append(element('option', { value: name, disabled: !isKnown }, name));
  }
  const logarithmic = element('input', { type: 'checkbox', id: 'logarithmic', checked: true });
  const trouble = element('output', { class: 'trouble', 'aria-live': 'polite' });
  const read = (): ControlState => ({
    smoothing: Number(smoothing.value),
    axis: axes.find((name) => name === axis.value) ?? 'steps',
    isLogarithmic: logarithmic.checked,
  });
  smoothing.addEventListener('input', () => {
    smoothingValue.textContent = Number(smoothing.value).toFixed(2);
    changed(read());
  });
  axis.addEventListener('change', () => changed(read()));
  logarithmic.addEventListener('change', () => changed(read()));
  smoothingValue.textContent = Number(smoothing.value).toFixed(2);
  const bar = element(
    'div',
    { class: 'controls' },
    element('span', {}, element('label', { for: 'smoothing' }, 'smoothing'), smoothing, smoothingValue),
    element('span', {}, element('label', { for: 'axis' }, 'over'), axis),
    element('span', {}, logarithmic, element('label', { for: 'logarithmic' }, 'logarithmic loss')),
    trouble,
  );
  return { bar, state: read(), say: (text) => (trouble.textContent = text) };
}

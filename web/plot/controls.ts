// The controls of the plot page: smoothing, the horizontal axis, and a logarithmic scale for the loss.
import type { RunCurves } from './curves.js';
import { element } from '../charts/dom.js';
import { axes, axisValueOf, type View } from './run-lines.js';

export interface ControlState extends View {
  isLogarithmic: boolean;
}

export interface Controls {
  bar: HTMLElement;
  /** The initial state. */
  state: ControlState;
  /** Shows a note about the current choices, which screen readers announce. An empty text removes the note. */
  showNote(text: string): void;
}

export function controls(runs: readonly RunCurves[], changed: (state: ControlState) => void): Controls {
  const smoothing = element('input', { type: 'range', min: 0, max: 0.99, step: 0.01, value: 0.9, id: 'smoothing' });
  const smoothingValue = element('output', { for: 'smoothing' }, smoothing.value);
  const axis = element('select', { id: 'axis' });
  for (const name of axes) {
    // Disables an axis for which no run has values.
    const isKnown = runs.some((run) => axisValueOf(name, run) !== undefined);
    axis.append(element('option', { value: name, disabled: !isKnown }, name));
  }
  const logarithmic = element('input', { type: 'checkbox', id: 'logarithmic', checked: true });
  const note = element('output', { class: 'axis-note', 'aria-live': 'polite' });
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
    element('span', {}, element('label', { for: 'axis' }, 'horizontal axis'), axis),
    element('span', {}, logarithmic, element('label', { for: 'logarithmic' }, 'logarithmic loss')),
    note,
  );
  return { bar, state: read(), showNote: (text) => (note.textContent = text) };
}

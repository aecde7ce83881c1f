// Displays the values at a chart's cursor: in a box next to the cursor, and, when the user moves the cursor with the
// keyboard, as text for screen readers.
import { element } from './dom.js';

export interface ReadoutContent {
  heading: string;
  rows: readonly { label: string; color: string; value: string }[];
  /** Horizontal position of the cursor in the plotting area, in CSS pixels. */
  left: number;
  /** Width of the plotting area, in CSS pixels. */
  width: number;
  isSpoken: boolean;
}

export class Readout {
  /** Invisible text that screen readers read when it changes. */
  readonly spoken: HTMLElement;
  readonly #box: HTMLElement;

  constructor() {
    this.#box = element('div', { class: 'chart-readout', 'aria-hidden': 'true', hidden: true });
    this.spoken = element('div', { class: 'visually-hidden', 'aria-live': 'polite' });
  }

  moveTo(plottingArea: HTMLElement): void {
    plottingArea.append(this.#box);
  }

  show({ heading, rows, left, width, isSpoken }: ReadoutContent): void {
    const lines = rows.map(({ label, color, value }) => {
      const swatch = element('span', { class: 'chart-swatch' });
      swatch.style.background = color;
      return element(
        'div',
        { class: 'chart-readout-row' },
        swatch,
        element('span', { class: 'chart-readout-label' }, label),
        element('span', { class: 'chart-readout-value' }, value),
      );
    });
    this.#box.replaceChildren(element('div', { class: 'chart-readout-heading' }, heading), ...lines);
    this.#box.hidden = false;
    // Shows the box on the side with more space.
    const isRight = left < width / 2;
    this.#box.style.left = isRight ? `${left + 12}px` : 'auto';
    this.#box.style.right = isRight ? 'auto' : `${width - left + 12}px`;
    if (isSpoken)
      this.spoken.textContent = [heading, ...rows.map(({ label, value }) => `${label}: ${value}`)].join(', ');
  }

  hide(): void {
    this.#box.hidden = true;
  }

  remove(): void {
    this.#box.remove();
    this.spoken.remove();
  }
}

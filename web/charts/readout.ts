// The values at a chart's cursor: a box beside it, and for those who move it by keys a spoken line.

export interface ReadoutContent {
  heading: string;
  rows: readonly { label: string; color: string; value: string }[];
  /** CSS pixels from the plotting area's left edge. */
  left: number;
  /** The plotting area's. */
  width: number;
  isSpoken: boolean;
}

export class Readout {
  /** Said by screen readers when it changes, seen by nobody. */
  readonly spoken: HTMLElement;
  readonly #box: HTMLElement;

  constructor() {
    this.#box = document.createElement('div');
    this.#box.className = 'chart-readout';
    this.#box.setAttribute('aria-hidden', 'true');
    this.#box.hidden = true;
    this.spoken = document.createElement('div');
    this.spoken.className = 'visually-hidden';
    this.spoken.setAttribute('aria-live', 'polite');
  }

  moveTo(plottingArea: HTMLElement): void {
    plottingArea.append(this.#box);
  }

  show({ heading, rows, left, width, isSpoken }: ReadoutContent): void {
    const title = element('div', 'chart-readout-heading', heading);
    const lines = rows.map(({ label, color, value }) => {
      const line = element('div', 'chart-readout-row', '');
      const swatch = element('span', 'chart-swatch', '');
      swatch.style.background = color;
      line.append(swatch, element('span', 'chart-readout-label', label), element('span', 'chart-readout-value', value));
      return line;
    });
    this.#box.replaceChildren(title, ...lines);
    this.#box.hidden = false;
    // On the side where there is more room.
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

function element(tag: 'div' | 'span', className: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

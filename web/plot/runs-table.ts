// The table of runs, which serves as the legend of the charts: its buttons show and hide runs, and its columns
// summarize the curves.
import { medianOf } from '../../shared/median.js';
import type { RunCurves } from './curves.js';
import { element } from '../charts/dom.js';
import { asLoss, asPercent, asWhole } from './format.js';

export interface RunsTable {
  table: HTMLElement;
  /** Sets the color of each run, in order. */
  paint(colors: readonly string[]): void;
}

/** Creates the table. @param toggled called when the user shows or hides a run */
export function runsTable(runs: readonly RunCurves[], toggled: (run: number, isShown: boolean) => void): RunsTable {
  const buttons = runs.map((run, index) => {
    const button = element('button', { type: 'button', class: 'run-toggle', 'aria-pressed': 'true' });
    button.title = 'Show or hide';
    button.append(element('span', { class: 'chart-swatch' }), element('span', {}, run.name));
    button.addEventListener('click', () => {
      const isShown = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(isShown));
      toggled(index, isShown);
    });
    return button;
  });
  const rows = runs.map((run, index) => {
    const name = element('th', { scope: 'row' }, buttons[index]);
    if (run.settings !== '') name.append(element('div', { class: 'settings' }, run.settings));
    const cells = columns.map(({ heading, value }) => element('td', { 'data-label': heading }, value(run)));
    return element('tr', {}, name, ...cells);
  });
  const headings = columns.map(({ heading }) => element('th', { scope: 'col' }, heading));
  const table = element(
    'table',
    { class: 'runs' },
    element('caption', { class: 'visually-hidden' }, 'Runs and their results'),
    element('thead', {}, element('tr', {}, element('th', { scope: 'col' }, 'run'), ...headings)),
    element('tbody', {}, ...rows),
  );
  const paint = (colors: readonly string[]) =>
    buttons.forEach((button, index) => button.style.setProperty('--run-color', colors[index]));
  return { table, paint };
}

const none = '–';
const columns: readonly { heading: string; value: (run: RunCurves) => string }[] = [
  { heading: 'steps', value: ({ steps, isFinished }) => `${asWhole(steps)}${isFinished ? '' : ' so far'}` },
  { heading: 'training loss', value: (run) => orNone(meanOfLast(run.perStep.loss.mean), asLoss) },
  { heading: 'validation loss', value: ({ validations }) => orNone(validations.at(-1)?.loss, asLoss) },
  { heading: 'validation', value: ({ validations }) => orNone(validations.at(-1)?.accuracy, asPercent) },
  { heading: 'best validation', value: describeBest },
  { heading: 'test', value: ({ test }) => orNone(test?.accuracy, asPercent) },
  { heading: 'median images/s', value: describeRate },
];

function describeRate({ perStep }: RunCurves): string {
  const rates = perStep.imagesPerSecond.mean;
  return rates.length === 0 ? none : asWhole(medianOf(rates));
}

function describeBest({ validations }: RunCurves): string {
  if (validations.length === 0) return none;
  const best = validations.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
  return `${asPercent(best.accuracy)} in epoch ${best.epoch}`;
}

function orNone(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? none : format(value);
}

/** Returns the mean of the last twentieth of the values, because the value of a single batch is noisy. */
function meanOfLast(values: readonly number[]): number | undefined {
  const tail = values.slice(-Math.ceil(values.length / 20));
  return tail.length === 0 ? undefined : tail.reduce((sum, value) => sum + value, 0) / tail.length;
}

/** Creates a table of all validations, for screen readers and for copying. */
export function validationsTable(runs: readonly RunCurves[]): HTMLElement {
  const headings = ['run', 'epoch', 'step', 'loss', 'accuracy'].map((text) => element('th', { scope: 'col' }, text));
  const rows = runs.flatMap((run) =>
    run.validations.map(({ epoch, step, loss, accuracy }) => {
      const cells = [asWhole(epoch), asWhole(step), asLoss(loss), asPercent(accuracy)].map((text) =>
        element('td', {}, text),
      );
      return element('tr', {}, element('th', { scope: 'row' }, run.name), ...cells);
    }),
  );
  const table = element(
    'table',
    { class: 'validations' },
    element('caption', { class: 'visually-hidden' }, 'Validation after each epoch'),
    element('thead', {}, element('tr', {}, ...headings)),
    element('tbody', {}, ...rows),
  );
  const scroller = element(
    'div',
    { class: 'scroller', tabindex: 0, role: 'region', 'aria-label': 'Validations' },
    table,
  );
  return element('details', {}, element('summary', {}, 'All validations as a table'), scroller);
}

// The script of the plot page: four charts of the data in the page, a table of runs as their legend, and a few controls.
import { curveColor, onSchemeChange, preferredScheme } from '../charts/colors.js';
import { LineChart, type LineChartOptions } from '../charts/line-chart.js';
import { controls, type ControlState } from './controls.js';
import type { PlotData, StepQuantity } from './curves.js';
import { element } from '../charts/dom.js';
import { asAxisNumber, asAxisPercent, asBrief, asLoss, asPercent, asRate, asWhole } from './format.js';
import { linesOf, axisValueOf } from './run-lines.js';
import { runsTable, validationsTable } from './runs-table.js';

interface ChartKind {
  quantity: StepQuantity;
  title: string;
  note: string;
  options: Pick<LineChartOptions, 'format' | 'formatAxis' | 'range'>;
}

const splits = 'solid: training, dashed: validation, point: test';
const kinds: readonly ChartKind[] = [
  { quantity: 'loss', title: 'Loss', note: splits, options: { format: asLoss, formatAxis: asAxisNumber } },
  { quantity: 'accuracy', title: 'Accuracy', note: splits, options: { format: asPercent, formatAxis: asAxisPercent } },
  {
    quantity: 'learningRate',
    title: 'Learning rate',
    note: 'by step',
    options: { format: asRate, formatAxis: asAxisNumber, range: [0, null] },
  },
  {
    quantity: 'imagesPerSecond',
    title: 'Throughput',
    note: 'images per second, by step',
    options: { format: (value) => `${asWhole(value)} images/s`, formatAxis: asBrief, range: [0, null] },
  },
];

function showPage({ runs, lockstepVersion, writtenAt }: PlotData, page: HTMLElement): void {
  const shown = runs.map(() => true);
  const charts = new Map<StepQuantity, LineChart>();
  let state: ControlState;

  const table = runsTable(runs, (run, isShown) => {
    shown[run] = isShown;
    draw();
  });
  const control = controls(runs, (changed) => {
    state = changed;
    draw();
  });
  state = control.state;
  const sections = kinds.map(({ quantity, title, note }) => {
    const container = element('div', {});
    const section = element('section', { class: 'chart', 'data-quantity': quantity });
    section.append(element('h2', {}, title, element('span', { class: 'note' }, note)), container);
    return { section, container };
  });
  const [first] = runs;
  const thinned = runs.filter(({ stepsPerPoint }) => stepsPerPoint > 1);
  const averages = thinned.map(({ name, stepsPerPoint }) => `${stepsPerPoint} in ${name}`).join(', ');
  page.append(
    element('header', {}, element('h1', {}, runs.length === 1 ? first.name : `${runs.length} runs`)),
    element('div', { class: 'runs-frame' }, table.table),
    control.bar,
    element('div', { class: 'charts' }, ...sections.map(({ section }) => section)),
    validationsTable(runs),
    element(
      'footer',
      {},
      'Drag over a chart to zoom in; double-click to reset. ',
      averages === ''
        ? ''
        : `Each point is the mean of several steps (${averages}); without smoothing, a band shows their minimum and maximum. `,
      `Written by Lockstep ${lockstepVersion} on ${writtenAt.slice(0, 10)} at ${writtenAt.slice(11, 16)} UTC.`,
    ),
  );
  kinds.forEach(({ quantity, title, options }, index) => {
    const chart = new LineChart(sections[index].container, { title, syncKey: 'runs', ...axisOptions(), ...options });
    charts.set(quantity, chart);
  });

  function axisOptions() {
    const formatX = state.axis === 'epochs' ? (x: number) => String(Number(x.toFixed(2))) : asWhole;
    return { xLabel: state.axis, formatX, formatXAxis: state.axis === 'epochs' ? formatX : asBrief };
  }

  function draw(): void {
    const scheme = preferredScheme();
    const colors = runs.map((_, index) => curveColor(index, scheme));
    table.paint(colors);
    const visible = runs.map((run, index) => ({ run, color: colors[index] })).filter((_, index) => shown[index]);
    for (const { quantity } of kinds) {
      const isLogarithmic = state.isLogarithmic && quantity === 'loss';
      charts.get(quantity)?.setLines(linesOf(visible, quantity, state), { ...axisOptions(), isLogarithmic });
    }
    const missing = visible.filter(({ run }) => axisValueOf(state.axis, run) === undefined);
    control.showNote(missing.map(({ run }) => `${run.name} has no ${state.axis}`).join(', '));
  }

  onSchemeChange(draw);
  draw();
}

const page = document.getElementById('page');
const numbers = document.getElementById('curves');
if (page === null || numbers === null) throw new Error('the page has no #page or #curves');
showPage(JSON.parse(numbers.textContent) as PlotData, page);

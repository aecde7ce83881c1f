// The four curves: loss, accuracy, learning rate and images/s over the steps.
import { useMemo } from 'preact/hooks';
import { smoothed } from '../../charts/smoothing.js';
import { curves, type Curves } from '../store.js';
import { loss, percent, perSecond, rate, wholeNumber } from '../wording.js';
import { Chart, type Series } from './chart.js';

const tall = 220;
const low = 150;

export function Charts() {
  const { value } = curves;
  const { losses, accuracies, rates, speeds } = useMemo(() => seriesOf(value), [value]);
  const { stepsPerPoint } = value.history;
  return (
    <section class="charts" aria-labelledby="curves-title">
      <h2 id="curves-title" class="hidden">
        Curves
      </h2>
      <Chart title="Loss" series={losses} format={loss} options={{ formatAxis: rate, height: tall }} />
      <Chart
        title="Accuracy"
        series={accuracies}
        format={percent}
        options={{ formatAxis: (part) => percent(part, 0), range: [0, null], height: tall }}
      />
      <Chart title="Learning rate" series={rates} format={rate} options={{ range: [0, null], height: low }} />
      <Chart title="Images per second" series={speeds} format={perSecond} options={{ range: [0, null], height: low }} />
      {stepsPerPoint > 1 && (
        <p class="muted resolution">Each point of a curve is the mean of {wholeNumber(stepsPerPoint)} steps.</p>
      )}
    </section>
  );
}

function seriesOf({ history: { points }, evaluations }: Curves) {
  const steps = points.map(({ step }) => step);
  /** The noise, and what lies behind it: the average of about a fiftieth of the points. */
  const noisy = (name: string, values: number[]): Series[] => {
    const weight = 1 - 1 / Math.max(1, values.length / 50);
    return [
      { name: `${name}, each step`, color: '--accent', steps, values, isFaint: true },
      {
        name: weight === 0 ? name : `${name}, averaged`,
        color: '--accent',
        steps,
        values: smoothed(values, weight),
      },
    ];
  };
  const validation = evaluations.filter(({ split }) => split === 'validation');
  const validated = (key: 'loss' | 'accuracy'): Series[] => {
    if (validation.length === 0) return [];
    const values = validation.map((evaluation) => evaluation[key]);
    return [{ name: 'validation', color: '--validation', steps: validation.map(({ step }) => step), values }];
  };
  return {
    losses: [
      ...noisy(
        'training',
        points.map((point) => point.loss),
      ),
      ...validated('loss'),
    ],
    accuracies: [
      ...noisy(
        'training',
        points.map((point) => point.accuracy),
      ),
      ...validated('accuracy'),
    ],
    rates: [
      { name: 'rate', color: '--accent', steps, values: points.map((point) => point.learningRate) } satisfies Series,
    ],
    speeds: noisy(
      'all workers',
      points.map((point) => point.imagesPerSecond),
    ),
  };
}

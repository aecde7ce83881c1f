// The four charts: loss, accuracy, learning rate and images per second by step.
import { useMemo } from 'preact/hooks';
import type { StepPoint } from '../../../shared/monitoring/step-history.js';
import { smoothed } from '../../charts/smoothing.js';
import { curves, type Curves } from '../store.js';
import { loss, percent, perSecond, rate, wholeNumber } from '../../common/numbers.js';
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
        options={{ formatAxis: (ratio) => percent(ratio, 0), range: [0, null], height: tall }}
      />
      <Chart title="Learning rate" series={rates} format={rate} options={{ range: [0, null], height: low }} />
      <Chart title="Images per second" series={speeds} format={perSecond} options={{ range: [0, null], height: low }} />
      {stepsPerPoint > 1 && (
        <p class="muted resolution">Each point is the mean of {wholeNumber(stepsPerPoint)} steps.</p>
      )}
    </section>
  );
}

function seriesOf({ history: { points }, evaluations }: Curves) {
  const steps = points.map(({ step }) => step);
  const valuesOf = (key: keyof StepPoint) => points.map((point) => point[key]);
  /** Returns the raw curve and its moving average over about a fiftieth of the points. */
  const noisy = (name: string, key: keyof StepPoint): Series[] => {
    const values = valuesOf(key);
    const weight = 1 - 1 / Math.max(1, values.length / 50);
    return [
      { name: `${name}, by step`, color: '--accent', steps, values, isFaint: true },
      {
        name: weight === 0 ? name : `${name}, smoothed`,
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
    losses: [...noisy('training', 'loss'), ...validated('loss')],
    accuracies: [...noisy('training', 'accuracy'), ...validated('accuracy')],
    rates: [{ name: 'rate', color: '--accent', steps, values: valuesOf('learningRate') } satisfies Series],
    speeds: noisy('all workers', 'imagesPerSecond'),
  };
}

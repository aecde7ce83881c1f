// The run's progress and main figures.
import type { RunStatus } from '../../../shared/monitoring/run-status.js';
import { curves, ending, facts, live } from '../store.js';
import { Figure } from '../../common/figure.js';
import { duration, loss, percent, perSecond, rate, wholeNumber } from '../../common/numbers.js';

export function Figures() {
  const { totalSteps, stepsPerEpoch } = facts.value!;
  const { history, evaluations } = curves.value;
  const run = live.value?.status.run;
  const last = history.points.at(-1);
  const validation = evaluations.findLast(({ split }) => split === 'validation');
  const step = run?.step ?? last?.step ?? 0;
  const epochs = Math.ceil(totalSteps / stepsPerEpoch);
  const epoch = Math.max(1, Math.ceil(step / stepsPerEpoch));
  return (
    <section aria-label="Progress" class="summary">
      <div class="progress">
        <p>
          <strong>Step {wholeNumber(step)}</strong> of {wholeNumber(totalSteps)}
          <span class="separator">·</span>epoch {epoch} of {epochs}
        </p>
        <p class="muted">{timeLeft(run)}</p>
        <progress aria-label="Steps" value={step} max={totalSteps}>
          {percent(step / totalSteps, 0)}
        </progress>
      </div>
      <dl class="figures">
        <Figure name="Loss" value={last && loss(last.loss)} note="training, latest step" />
        <Figure name="Accuracy" value={last && percent(last.accuracy)} note="training, latest step" />
        <Figure
          name="Validation"
          value={validation && percent(validation.accuracy)}
          note={validation ? `after step ${wholeNumber(validation.step)}` : 'after each epoch'}
        />
        <Figure name="Learning rate" value={last && rate(last.learningRate)} note="latest step" />
        <Figure
          name="Images/s"
          value={run === undefined ? last && perSecond(last.imagesPerSecond) : perSecond(run.imagesPerSecond.now)}
          note={run === undefined || step === 0 ? 'all workers' : `${perSecond(run.imagesPerSecond.mean)} on average`}
        />
        {run !== undefined && run.clippedValues > 0 && (
          <Figure name="Clipped values" value={wholeNumber(run.clippedValues)} note="of gradients, all steps" />
        )}
      </dl>
    </section>
  );
}

function timeLeft(run: RunStatus['run'] | undefined): string {
  if (run === undefined || ending.value !== null) return '';
  if (run.phase === 'paused') return 'paused';
  if (run.secondsLeft === null) return 'time left: unknown';
  return run.step === run.steps ? 'all steps completed' : `${duration(1000 * run.secondsLeft)} left`;
}

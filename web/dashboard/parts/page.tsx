// The complete page.
import { connection, ending, facts, isRecorded, live, session } from '../store.js';
import { Banner } from './banner.js';
import { Charts } from './charts.js';
import { EventLog } from './event-log.js';
import { Figures } from './figures.js';
import { Header } from './header.js';
import { JoinLink } from './join-link.js';
import { LogInDialog, LogInPage } from './log-in.js';
import { RecordedWorkers, Workers } from './workers.js';
import { StepPanel } from './step-panel.js';

export function Page() {
  if (session.value !== null && !session.value.mayRead) return <LogInPage />;
  if (facts.value === null) {
    return (
      <main class="empty-page">
        <p role="status">
          {connection.value.phase === 'lost' ? 'The coordinator does not answer. Reconnecting…' : 'Connecting…'}
        </p>
      </main>
    );
  }
  const showTotals = isRecorded.value || ending.value?.how === 'finished';
  return (
    <div class={connection.value.phase === 'lost' ? 'page stale' : 'page'}>
      <a class="skip" href="#content">
        Skip to content
      </a>
      <Header />
      <Banner />
      <main id="content" tabIndex={-1}>
        <Figures />
        <Charts />
        <div class="columns">
          {showTotals ? <RecordedWorkers /> : <StepPanel />}
          <EventLog />
        </div>
        {!showTotals && live.value !== null && <Workers />}
        <JoinLink />
      </main>
      <Footer />
      <LogInDialog />
    </div>
  );
}

function Footer() {
  const { lockstepVersion, runDirectory, dataset, model, trainableWeights, batchSize, slices, seed } = facts.value!;
  return (
    <footer>
      <p>
        {model}, {trainableWeights.toLocaleString('en-US')} weights{dataset !== '' && ` · ${dataset}`} · batch size{' '}
        {batchSize} in {slices} {slices === 1 ? 'slice' : 'slices'} · seed {seed}
      </p>
      <p>
        Lockstep {lockstepVersion} · <code>{runDirectory}</code>
      </p>
    </footer>
  );
}

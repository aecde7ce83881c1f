// The complete page.
import { about, view } from '../state.js';
import { announcement, status } from '../status.js';
import { EndingView } from './ending-view.js';
import { StartView } from './start-view.js';
import { WorkingView } from './working-view.js';

export function Page() {
  const { value } = view;
  return (
    <div class="page">
      <header>
        <div class="title">
          <img src="join/icon.svg" alt="" width="28" height="28" />
          <p class="product">Lockstep</p>
          {value.phase === 'working' && <span class={`pill ${status.value.tone}`}>{status.value.text}</span>}
        </div>
      </header>
      <main>
        {value.phase === 'working' && <WorkingView />}
        {value.phase === 'over' && <EndingView ending={value.ending} />}
        {value.phase !== 'working' && value.phase !== 'over' && <StartView view={value} />}
      </main>
      <p class="hidden" role="status">
        {announcement.value}
      </p>
      {about.value !== null && value.phase === 'working' && (
        <footer>
          <p>
            For {about.value.organizer}: {about.value.dataset}, {about.value.classCount} classes
          </p>
        </footer>
      )}
    </div>
  );
}

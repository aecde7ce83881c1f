// The page of a link that makes a browser a worker: asks for one click, then shows what this device computes.
import { effect } from '@preact/signals';
import { render } from 'preact';
import { showTheme } from '../common/theme.js';
import { Page } from './parts/page.js';
import { tabTitle } from './status.js';
import { close, open } from './work.js';

showTheme();
render(<Page />, document.body);
effect(() => {
  document.title = tabTitle.value;
});
addEventListener('pagehide', close);
// The browser shows the page as it was when it was left, but its worker has stopped.
addEventListener('pageshow', ({ persisted }) => {
  if (persisted) location.reload();
});
// Following another link to this page only changes the fragment.
addEventListener('hashchange', () => location.reload());
void open();

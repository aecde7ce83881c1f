// The dashboard page: connects to the coordinator that served it, and renders the run.
import { effect } from '@preact/signals';
import { render } from 'preact';
import { showTheme } from '../common/theme.js';
import { connect, retryNow } from './connection.js';
import { tabTitle } from './parts/header.js';
import { Page } from './parts/page.js';

showTheme();
render(<Page />, document.body);
effect(() => {
  document.title = tabTitle.value;
});
addEventListener('online', retryNow);
void connect();

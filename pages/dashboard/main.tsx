// The dashboard's page: connects to the coordinator that served it and draws what it hears.
import { render } from 'preact';
import { connect, retryNow } from './connection.js';
import { Page } from './parts/page.js';

render(<Page />, document.body);
addEventListener('online', retryNow);
void connect();

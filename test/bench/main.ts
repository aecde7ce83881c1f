// Usage: npm run bench -- NAME. Prints measurements; no test depends on them.
import { benchDashboard } from './dashboard.js';
import { benchExchange } from './exchange.js';
import { benchFeed } from './feed.js';
import { benchLinks } from './links/links.js';
import { benchPeers } from './peers/peers.js';
import { benchScale } from './scale/scale.js';
import { benchTabs } from './tabs.js';

const benches: Record<string, (args: readonly string[]) => Promise<void>> = {
  dashboard: benchDashboard,
  exchange: benchExchange,
  feed: benchFeed,
  links: benchLinks,
  peers: benchPeers,
  scale: benchScale,
  tabs: benchTabs,
};

const [name = '', ...args] = process.argv.slice(2);
const bench = benches[name];
if (bench === undefined) {
  process.stderr.write(`usage: npm run bench -- NAME, where NAME is one of: ${Object.keys(benches).join(', ')}\n`);
  process.exitCode = 2;
} else {
  await bench(args);
}

// Preloaded with --import: writes the URL of each module that the process loads, except those of Node, to stderr.
import { register } from 'node:module';

const hooks = `
  import { writeSync } from 'node:fs';
  export async function load(url, context, nextLoad) {
    if (!url.startsWith('node:')) writeSync(2, url + '\\n');
    return nextLoad(url, context);
  }
`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

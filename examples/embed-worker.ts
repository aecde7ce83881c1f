// Serves a page of your own site that turns a visitor's browser into a worker. Start a coordinator that allows this site:
//   lockstep coordinator --join-link --allow-origin http://127.0.0.1:8080 --data DIR
// Then start this program with the link that the coordinator printed, in quotes, and open http://127.0.0.1:8080/.
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';

const [, , link] = process.argv;
if (link === undefined) throw new Error('usage: node embed-worker.ts LINK');
const port = Number(process.env['PORT'] ?? 8080);
const page = new URL('embed-worker.html', import.meta.url);
const scripts = new URL('.', import.meta.resolve('lockstep/browser'));
const scriptNames = new Set(await readdir(scripts));
const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** Returns the file that a path stands for. Only the page and the library's scripts are served. */
function fileAt(pathname: string): URL | undefined {
  if (pathname === '/') return page;
  const name = pathname.replace(/^\/lockstep\//, '');
  return scriptNames.has(name) ? new URL(name, scripts) : undefined;
}

const server = createServer((request, response) => {
  // With these two headers the page is cross-origin isolated, so the worker may use several threads. The scripts need
  // them too.
  response.setHeader('cross-origin-opener-policy', 'same-origin');
  response.setHeader('cross-origin-embedder-policy', 'require-corp');
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  const file = fileAt(pathname);
  if (pathname === '/link') {
    // Whoever can open the page can join. A real site would check who is asking.
    response.setHeader('content-type', 'text/plain').end(link);
  } else if (file === undefined) {
    response.writeHead(404).end();
  } else {
    response.setHeader('content-type', types[path.extname(file.pathname)] ?? 'application/octet-stream');
    readFile(file).then(
      (content) => response.end(content),
      () => response.writeHead(500).end(),
    );
  }
});
server.listen(port, '127.0.0.1', () => console.log(`open http://127.0.0.1:${port}/`));

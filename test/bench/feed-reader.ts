// Stands in for a dashboard page, in a separate process and without drawing anything: reads everything from the URL in
// the parent's message until the parent sends an empty URL.
import { WebSocket } from 'ws';

let socket: WebSocket | undefined;

process.on('message', (url: string) => {
  if (url === '') return socket?.close();
  socket = new WebSocket(url);
  socket.on('open', () => process.send!('open'));
  socket.on('message', () => undefined);
  socket.on('close', () => process.send!('closed'));
});

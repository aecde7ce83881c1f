// A page that draws nothing, in a process of its own: told an address it reads all that is said there, until it is told none.
import { WebSocket } from 'ws';

let socket: WebSocket | undefined;

process.on('message', (url: string) => {
  if (url === '') return socket?.close();
  socket = new WebSocket(url);
  socket.on('open', () => process.send!('open'));
  socket.on('message', () => undefined);
  socket.on('close', () => process.send!('closed'));
});

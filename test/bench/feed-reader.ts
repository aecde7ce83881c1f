// A page that draws nothing, in a process of its own: reads everything from the URL that it is sent, until it is sent none.
import { WebSocket } from 'ws';

let socket: WebSocket | undefined;

process.on('message', (url: string) => {
  if (url === '') return socket?.close();
  socket = new WebSocket(url);
  socket.on('open', () => process.send!('open'));
  socket.on('message', () => undefined);
  socket.on('close', () => process.send!('closed'));
});

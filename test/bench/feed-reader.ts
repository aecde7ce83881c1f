// A page that draws nothing, in a process of its own: reads what it is told until it is told no more.
import { WebSocket } from 'ws';

const socket = new WebSocket(process.argv[2]);
socket.on('message', () => undefined);
socket.on('close', () => process.disconnect());

// Closes a faulty link just after it ends a connection, before the FIN has been sent. The process must then exit by
// itself.
import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
const { FaultyLink } = await import(process.argv[2]);
const { systemClock } = await import(process.argv[3]);

const coordinator = createServer((socket) => socket.on('error', () => undefined).resume());
await once(coordinator.listen(0, '127.0.0.1'), 'listening');
const link = await FaultyLink.open(coordinator.address().port, systemClock);
const worker = connect(Number(new URL(link.url).port), '127.0.0.1');
await Promise.all([once(coordinator, 'connection'), once(worker, 'connect')]);

const { value: destroySoon } = Object.getOwnPropertyDescriptor(Socket.prototype, 'destroySoon');
const ended = new Promise((resolve) => {
  Socket.prototype.destroySoon = function () {
    destroySoon.call(this);
    resolve(link.close());
  };
});
worker.destroy();
await ended;
coordinator.close();
process.stdout.write('closed\n');

// The table of workers: connected workers first, then lost ones. On narrow screens, each row is a card. ARIA roles are
// explicit, because a table loses its implicit roles when CSS changes its layout.
import { computes } from '../../../shared/monitoring/computing-workers.js';
import type { TimeShares, WorkerStatus } from '../../../shared/monitoring/run-status.js';
import { ending, live, session } from '../store.js';
import { bytesPerSecond, duration, percent, perSecond, wholeNumber } from '../../common/numbers.js';
import { describeLoss, sliceRanges } from '../wording.js';
import { confirmation } from './controls.js';

const columns = [
  'Worker',
  'State',
  'Engine and device',
  'Slices',
  'Images/s',
  'Network',
  'Time',
  'Last seen',
  'Lost',
] as const;

export function Workers() {
  const { workers } = live.value!.status;
  const mayDrop = session.value?.mayOperate === true;
  const connected = workers.filter(computes).length;
  return (
    <section class="card" aria-labelledby="workers-title">
      <h2 id="workers-title">
        Workers <span class="count">{connected}</span>
      </h2>
      {workers.length === 0 ? (
        <p class="empty">
          No worker has joined yet. Start one on each machine:
          <code>lockstep worker {location.origin.replace('http', 'ws')}</code>
        </p>
      ) : (
        <table role="table" class="workers">
          <caption class="hidden">Connected and lost workers</caption>
          <thead role="rowgroup">
            <tr role="row">
              {columns.map((name) => (
                <th key={name} role="columnheader" scope="col" class={isNumber(name) ? 'number' : ''}>
                  {name}
                </th>
              ))}
              {mayDrop && (
                <th role="columnheader" scope="col">
                  <span class="hidden">Drop</span>
                </th>
              )}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {workers.map((worker) => (
              <Row key={worker.id} worker={worker} mayDrop={mayDrop} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function isNumber(column: string): boolean {
  return column === 'Images/s' || column === 'Network' || column === 'Last seen';
}

function Row({ worker, mayDrop }: { worker: WorkerStatus; mayDrop: boolean }) {
  const { name, address, state, engine, fingerprint, device, slices, imagesPerSecond, timeShares, relay } = worker;
  const isLost = state === 'lost';
  return (
    <tr role="row" class={state}>
      <th role="rowheader" scope="row">
        {relay === null ? name : `↳ ${name}`}
        <span class="sub">{relay === null ? address : `${address} behind ${relay}`}</span>
      </th>
      <td role="cell" data-label="State">
        <span class={`state ${state}`}>{state}</span>
        {worker.lostReason !== null && <span class="sub">{describeLoss(worker.lostReason)}</span>}
      </td>
      <td role="cell" data-label="Engine and device" class="device" title={fingerprint}>
        {engine}
        <span class="sub">{device}</span>
      </td>
      <td role="cell" data-label="Slices">
        {isLost || slices.length === 0 ? '–' : sliceRanges(slices)}
        <span class="sub">{worker.shards.length > 0 && !isLost && `shards ${sliceRanges(worker.shards)}`}</span>
      </td>
      <td role="cell" data-label="Images/s" class="number">
        {imagesPerSecond > 0 ? perSecond(imagesPerSecond) : '–'}
        <span class="sub">{worker.images > 0 && `${wholeNumber(worker.images)} in total`}</span>
      </td>
      <td role="cell" data-label="Network" class="number" title="Bytes per second to and from the worker">
        {isLost ? '–' : `${bytesPerSecond(worker.sentBytesPerSecond)} down`}
        <span class="sub">{!isLost && `${bytesPerSecond(worker.receivedBytesPerSecond)} up`}</span>
      </td>
      <td role="cell" data-label="Time">
        {timeShares === null ? '–' : <Shares shares={timeShares} />}
      </td>
      <td role="cell" data-label="Last seen" class="number">
        {worker.lastSeenSecondsAgo < 1.5 && !isLost ? 'now' : `${duration(1000 * worker.lastSeenSecondsAgo)} ago`}
      </td>
      <td role="cell" data-label="Lost">
        {worker.timesLost === 0 ? 'never' : `${worker.timesLost}×`}
        <span class="sub">{worker.timesRejoined > 0 && `rejoined ${worker.timesRejoined}×`}</span>
      </td>
      {mayDrop && (
        <td role="cell" class="drop">
          {!isLost && relay === null && (
            <button type="button" class="small" aria-label={`Drop ${name}`} onClick={() => confirmDrop(worker)}>
              Drop…
            </button>
          )}
        </td>
      )}
    </tr>
  );
}

function confirmDrop({ id, name, relayedWorkers }: WorkerStatus): void {
  const others = relayedWorkers === null ? '' : `, and with it the workers behind it (${relayedWorkers})`;
  confirmation.value = {
    title: `Drop ${name}?`,
    text: `${name} is disconnected${others}. It does not reconnect. Its slices are reassigned at once. To add it again, restart it.`,
    button: `Drop ${name}`,
    request: { action: 'drop', worker: id },
  };
}

function Shares({ shares: { compute, network, waiting } }: { shares: TimeShares }) {
  return (
    <>
      <span class="shares" aria-hidden="true">
        <span class="compute" style={{ flexGrow: compute }} />
        <span class="network" style={{ flexGrow: network }} />
        <span class="waiting" style={{ flexGrow: waiting }} />
      </span>
      <span class="sub">
        compute {percent(compute, 0)}, network {percent(network, 0)}, waiting {percent(waiting, 0)}
      </span>
    </>
  );
}

/** Table of the workers' contributions to a run that has ended. */
export function RecordedWorkers() {
  const workers = ending.value?.how === 'finished' ? ending.value.report.workers : [];
  return (
    <section class="card" aria-labelledby="workers-title">
      <h2 id="workers-title">Workers</h2>
      {workers.length === 0 ? (
        <p class="empty">Only a finished run has totals for each worker.</p>
      ) : (
        <div class="scroll-x" tabIndex={0} role="region" aria-labelledby="workers-title">
          <table>
            <caption class="hidden">Totals of each worker</caption>
            <thead>
              <tr>
                <th scope="col">Worker</th>
                <th scope="col" class="number">
                  Images
                </th>
                <th scope="col" class="number">
                  Busy
                </th>
                <th scope="col" class="number">
                  Waiting
                </th>
                <th scope="col" class="number">
                  Waited for
                </th>
              </tr>
            </thead>
            <tbody>
              {workers.map((worker) => (
                <tr key={worker.name}>
                  <th scope="row">{worker.name}</th>
                  <td class="number">{wholeNumber(worker.images)}</td>
                  <td class="number">{duration(1000 * worker.busySeconds)}</td>
                  <td class="number">{duration(1000 * worker.waitSeconds)}</td>
                  <td class="number">
                    {worker.timesWaitedFor}×, {duration(1000 * worker.secondsWaitedFor)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

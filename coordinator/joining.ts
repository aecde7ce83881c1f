// How browsers join a run: its join link, what the link's page says about the run, and the routes of that page.
import { hostname } from 'node:os';
import { renderSVG } from 'uqr';
import type { JoinAbout, JoinFacts, JoinLinkView } from '../shared/monitoring/join.js';
import { recordBytesOf } from '../shared/dataset/description.js';
import { shardsBytesOf } from '../shared/protocol/messages.js';
import type { LinkTerms } from '../shared/protocol/join-token.js';
import type { AssembledRun } from './assemble-run.js';
import type { AccessPolicy } from './connections/access-policy.js';
import { isLoopback } from './connections/http/http-access.js';
import type { JoinLinks } from './connections/join/join-links.js';
import type { JoinLinkOptions } from './connections/join/open-join-links.js';
import { JoinRoutes } from './connections/join/join-routes.js';
import { browserUrl } from './connections/join/link-address.js';
import type { CoordinatorSession } from './session.js';

export class Joining {
  readonly #run: Pick<AssembledRun, 'setup' | 'schedule' | 'state'>;
  readonly #session: CoordinatorSession;
  readonly #access: AccessPolicy;
  readonly #links: JoinLinks;
  readonly #organizer: string | undefined;

  constructor(
    run: Pick<AssembledRun, 'setup' | 'schedule' | 'state'>,
    session: CoordinatorSession,
    access: AccessPolicy,
    links: JoinLinks,
    option: JoinLinkOptions | boolean | undefined,
  ) {
    this.#run = run;
    this.#session = session;
    this.#access = access;
    this.#links = links;
    this.#organizer = typeof option === 'object' ? option.organizer : undefined;
  }

  /** The routes of the link's page. */
  get routes(): JoinRoutes {
    const { allowedOrigins = [] } = this.#access;
    return new JoinRoutes({ about: (id) => this.about(id), allowedOrigins });
  }

  /** The current link, for operators. */
  get view(): JoinLinkView {
    const link = this.#links.current;
    if (link === undefined) return null;
    const url = `${this.#browserUrl}/join#${link.token}`;
    const image = renderSVG(url, { border: 2 });
    return {
      url,
      svg: `data:image/svg+xml,${encodeURIComponent(image)}`,
      expires: dateOf(link),
      maxWorkers: link.maxWorkers,
      workers: this.#session.pool.workersOf(link.id).length,
    };
  }

  /** Returns what is said about a link to anyone who has its id. @param id id of a link */
  about(id: string): JoinAbout {
    const state = this.#links.checkId(id);
    if (state.problem !== null) return { problem: state.problem };
    if (this.#session.hasEnded) return { problem: 'ended' };
    const { terms } = state;
    const isFull = this.#session.isFull || this.#session.pool.workersOf(id).length >= terms.maxWorkers;
    return { problem: isFull ? 'full' : null, ...this.#factsOf(terms) };
  }

  #factsOf(terms: LinkTerms): JoinFacts {
    const { setup, schedule, state } = this.#run;
    const { layout, store } = setup;
    const trainingShards = store.shards.filter(({ split }) => split === 'training');
    return {
      network: layout.graph.name,
      dataset: store.dataset.name,
      imageCount: shardsBytesOf(trainingShards) / recordBytesOf(store.dataset),
      classCount: store.dataset.classNames.length,
      totalSteps: schedule.totalSteps,
      step: state.step,
      organizer: this.#organizer ?? this.#defaultOrganizer,
      expires: dateOf(terms),
      bytesPerStep: 4 * (layout.weightsSize + layout.statisticsSize),
      engine: this.#session.engine.required ?? null,
    };
  }

  get #defaultOrganizer(): string {
    const { publicUrl, host } = this.#access;
    return publicUrl === undefined && isLoopback(host) ? hostname() : new URL(this.#browserUrl).host;
  }

  get #browserUrl(): string {
    const { publicUrl, host, tls } = this.#access;
    return browserUrl(publicUrl, { host, port: this.#session.port, usesTls: tls !== undefined });
  }
}

function dateOf({ expires }: LinkTerms): string {
  return new Date(1000 * expires).toISOString();
}

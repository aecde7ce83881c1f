// The responses of /join/about, for the page that a join link opens, and of /join-link, for the dashboard.

/** What a visitor of a join link learns before joining. */
export interface JoinFacts {
  /** Name of the network, for example resnet20. */
  network: string;
  /** Name of the dataset. */
  dataset: string;
  /** Number of training images. */
  imageCount: number;
  classCount: number;
  totalSteps: number;
  /** Number of updates made. */
  step: number;
  /** For whom the run trains, for display. */
  organizer: string;
  /** When the link expires, in ISO 8601 format and UTC. */
  expires: string;
  /** Size of the weights that a worker receives for each step. */
  bytesPerStep: number;
  /** The engine that a worker must use; null if it may use any. */
  engine: string | null;
}

/**
 * Why a link cannot be used. `full` passes when a worker leaves. `unknown` also covers links that expired before the
 * coordinator started.
 */
export type JoinProblem = 'full' | 'expired' | 'revoked' | 'unknown' | 'ended';

export type JoinAbout =
  ({ problem: Extract<JoinProblem, 'full'> | null } & JoinFacts) | { problem: Exclude<JoinProblem, 'full'> };

/** The current link, for operators; null if it has expired or has been revoked. */
export type JoinLinkView = {
  /** The link, with its token. */
  url: string;
  /** The link as a QR code: a data URL of an SVG image. */
  svg: string;
  /** When the link expires, in ISO 8601 format and UTC. */
  expires: string;
  /** Maximum number of workers that may be connected by the link at the same time. */
  maxWorkers: number;
  /** Number of workers that are connected by the link. */
  workers: number;
} | null;

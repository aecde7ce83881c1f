// Options of the links benchmark: which links to measure, with what.
import { parseArgs } from 'node:util';
import { LockstepError, messageOf } from '../../../shared/errors.js';

export const usage = `usage: npm run bench -- links [options]

Measures training of ResNet-20 with two workers over slow links, beside PyTorch DistributedDataParallel (gloo).

  --links LIST      links to measure: loopback, or RATE/RTT with Mbit/s and the milliseconds of a round trip
                    (default: loopback and all of 1000, 100 and 20 Mbit/s with 1, 20 and 100 ms)
  --subjects LIST   what to measure (default: all): float32, int8, int8-local (int8 with 8 local steps),
                    ddp, ddp-fp16 and ddp-powersgd (its communication hooks)
  --rounds N        number of turns (default: 1)
  --seconds S       least duration of one measurement (default: 10)
  --engine ENGINE   engine of Lockstep's workers (default: wasm)
  --json            print a line of JSON per measurement instead of tables

Needs root on Linux with iproute2, and PyTorch in the Python interpreter named by LOCKSTEP_TORCH_PYTHON, or python3.
`;

/** Steps of a round in `int8-local`. */
const localSteps = 8;

/** What to measure: options of the coordinator, or a communication hook of DistributedDataParallel. */
const subjects = {
  float32: { lockstep: ['--encoding', 'float32'] },
  int8: { lockstep: ['--encoding', 'int8'] },
  'int8-local': { lockstep: ['--encoding', 'int8', '--local-steps', String(localSteps)] },
  ddp: { hook: 'none' },
  'ddp-fp16': { hook: 'fp16' },
  'ddp-powersgd': { hook: 'powersgd' },
} as const satisfies Record<string, { lockstep: readonly string[] } | { hook: string }>;

export type SubjectName = keyof typeof subjects;
export const subjectOf = (name: SubjectName): { lockstep: readonly string[] } | { hook: string } => subjects[name];

/** A link between two processes that exchange gradients. */
export interface Link {
  /** In each direction. */
  rateMbit: number;
  roundTripMs: number;
}

export interface Case {
  link: Link | 'loopback';
  subject: SubjectName;
}

export interface LinksPlan {
  /** One turn of each case, in order. */
  cases: readonly Case[];
  rounds: number;
  seconds: number;
  engine: string;
  json: boolean;
}

/** Throws `bad-option`. */
export function planOf(args: readonly string[]): LinksPlan {
  const options = parse(args);
  const links = options.links.split(',').map(parseLink);
  const names = options.subjects.split(',').map(parseSubject);
  const seconds = Number(options.seconds);
  if (!(seconds > 0)) throw badOption(`--seconds is ${options.seconds}: give a number above 0`);
  const rounds = Number(options.rounds);
  if (!(Number.isInteger(rounds) && rounds >= 1)) {
    throw badOption(`--rounds is ${options.rounds}: give a whole number from 1`);
  }
  return {
    cases: links.flatMap((link) => names.map((subject) => ({ link, subject }))),
    rounds,
    seconds,
    engine: options.engine,
    json: options.json,
  };
}

export function nameOf(link: Link | 'loopback'): string {
  return link === 'loopback' ? link : `${link.rateMbit}/${link.roundTripMs}`;
}

const allLinks = ['loopback', ...[1000, 100, 20].flatMap((rate) => [1, 20, 100].map((ms) => `${rate}/${ms}`))];

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        links: { type: 'string', default: allLinks.join(',') },
        subjects: { type: 'string', default: Object.keys(subjects).join(',') },
        rounds: { type: 'string', default: '1' },
        seconds: { type: 'string', default: '10' },
        engine: { type: 'string', default: 'wasm' },
        json: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw badOption(messageOf(error));
  }
}

function parseLink(text: string): Link | 'loopback' {
  if (text === 'loopback') return text;
  const [rateMbit, roundTripMs] = /^(\d+(?:\.\d+)?)\/(\d+(?:\.\d+)?)$/.exec(text)?.slice(1).map(Number) ?? [];
  if (!(rateMbit > 0)) throw badOption(`--links has "${text}": give loopback or RATE/RTT, such as 20/100`);
  return { rateMbit, roundTripMs };
}

function parseSubject(text: string): SubjectName {
  if (Object.hasOwn(subjects, text)) return text as SubjectName;
  throw badOption(`--subjects has "${text}": use ${Object.keys(subjects).join(', ')}`);
}

function badOption(message: string): LockstepError {
  return new LockstepError('bad-option', message);
}

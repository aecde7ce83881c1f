import { describe, expect, it } from 'vitest';
import { summarize, type Measurement } from './measurement.js';
import { nameOf, planOf, type Case } from './options.js';

const rows = (cases: readonly Case[]) => cases.map(({ link, subject }) => `${nameOf(link)} ${subject}`);

describe('the options of the links benchmark', () => {
  it('measures loopback and nine links with each subject by default', () => {
    const { cases, rounds, seconds, json } = planOf([]);
    expect(cases).toHaveLength(10 * 6);
    expect(rows(cases.slice(0, 7))).toEqual([
      'loopback float32',
      'loopback int8',
      'loopback int8-local',
      'loopback ddp',
      'loopback ddp-fp16',
      'loopback ddp-powersgd',
      '1000/1 float32',
    ]);
    expect(rows(cases).at(-1)).toBe('20/100 ddp-powersgd');
    expect({ rounds, seconds, json }).toEqual({ rounds: 1, seconds: 10, json: false });
  });

  it('measures the links that are named, with the subjects that are named', () => {
    const { cases } = planOf(['--links', '20/1.5,loopback', '--subjects', 'int8-local,ddp']);
    expect(cases[0].link).toEqual({ rateMbit: 20, roundTripMs: 1.5 });
    expect(rows(cases)).toEqual(['20/1.5 int8-local', '20/1.5 ddp', 'loopback int8-local', 'loopback ddp']);
  });

  it.each([
    [['--links', '20'], '--links has "20": give loopback or RATE/RTT, such as 20/100'],
    [['--links', '0/20'], '--links has "0/20": give loopback or RATE/RTT, such as 20/100'],
    [['--subjects', 'int4'], '--subjects has "int4": use float32, int8, int8-local, ddp, ddp-fp16, ddp-powersgd'],
    [['--rounds', '1.5'], '--rounds is 1.5: give a whole number from 1'],
    [['--seconds', '0'], '--seconds is 0: give a number above 0'],
  ])('rejects %j', (args, message) => {
    expect(() => planOf(args)).toThrow(message);
  });
});

describe('the summary of the links benchmark', () => {
  const measured = (imagesPerSecond: number, kilobytes: number | null): Measurement => ({
    imagesPerSecond,
    sentPerStep: kilobytes,
    receivedPerStep: kilobytes,
    steps: 10,
  });

  it('divides medians by those of float32, of the fastest hook, and of the same subject on loopback', () => {
    const { cases } = planOf(['--links', 'loopback,20/20', '--subjects', 'float32,int8-local,ddp,ddp-fp16']);
    const rates = [
      [400, 420, 440],
      [400, 400, 400],
      [300, 300, 300],
      [320, 320, 320],
      [90, 100, 500],
      [320, 360, 340],
      [100, 100, 100],
      [170, 170, 170],
    ];
    const turns = new Map(
      cases.map((each, index) => [
        each,
        rates[index].map((rate, turn) => measured(rate, each.link === 'loopback' ? null : 10 * (turn + 1))),
      ]),
    );
    expect(summarize(turns).slice(4, 6)).toEqual([
      {
        link: '20/20',
        subject: 'float32',
        turns: 3,
        imagesPerSecond: 100,
        sentPerStep: 20,
        receivedPerStep: 20,
        steps: 30,
        toFloat32: 1,
        toBestDdp: 100 / 170,
        toLoopback: 100 / 420,
      },
      {
        link: '20/20',
        subject: 'int8-local',
        turns: 3,
        imagesPerSecond: 340,
        sentPerStep: 20,
        receivedPerStep: 20,
        steps: 30,
        toFloat32: 3.4,
        toBestDdp: 2,
        toLoopback: 0.85,
      },
    ]);
    expect(summarize(turns)[0].sentPerStep).toBeNull();
  });

  it('has no ratio to what was not measured', () => {
    const { cases } = planOf(['--links', '20/20', '--subjects', 'int8']);
    expect(summarize(new Map([[cases[0], [measured(100, 1)]]]))).toMatchObject([
      { toFloat32: null, toBestDdp: null, toLoopback: null },
    ]);
  });
});

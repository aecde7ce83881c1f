// What a turn measures, and the ratios between the cases. Pure.
import { medianOf } from '../../../shared/median.js';
import { nameOf, subjectOf, type Case, type SubjectName } from './options.js';

export interface Measurement {
  imagesPerSecond: number;
  /** Bytes that the first worker's or process's device sent and received per step; null on loopback, which all share. */
  sentPerStep: number | null;
  receivedPerStep: number | null;
  /** Number of steps measured. */
  steps: number;
}

/** The medians of a case's turns, and ratios of images per second. A ratio is null if the other case was not measured. */
export interface CaseSummary extends Measurement {
  link: string;
  subject: SubjectName;
  turns: number;
  toFloat32: number | null;
  toBestDdp: number | null;
  toLoopback: number | null;
}

/** @param turns measurements of each case, in the order of the rounds */
export function summarize(turns: ReadonlyMap<Case, readonly Measurement[]>): CaseSummary[] {
  const rates = [...turns].map(([{ link, subject }, measured]) => ({
    link: nameOf(link),
    subject,
    rate: medianOf(measured.map(({ imagesPerSecond }) => imagesPerSecond)),
  }));
  /** Returns the highest rate on a link among some subjects. */
  const best = (link: string, isMeant: (subject: SubjectName) => boolean): number | undefined =>
    rates
      .filter((each) => each.link === link && isMeant(each.subject))
      .map(({ rate }) => rate)
      .toSorted((a, b) => b - a)
      .at(0);
  const over = (rate: number, other: number | undefined) => (other === undefined ? null : rate / other);
  return [...turns.values()].map((measured, index) => {
    const { link, subject, rate } = rates[index];
    const median = (field: 'sentPerStep' | 'receivedPerStep') => {
      const known = measured.map((each) => each[field]).filter((value) => value !== null);
      return known.length === 0 ? null : medianOf(known);
    };
    return {
      link,
      subject,
      turns: measured.length,
      imagesPerSecond: rate,
      sentPerStep: median('sentPerStep'),
      receivedPerStep: median('receivedPerStep'),
      steps: measured.reduce((sum, { steps }) => sum + steps, 0),
      toFloat32: over(
        rate,
        best(link, (other) => other === 'float32'),
      ),
      toBestDdp: over(
        rate,
        best(link, (other) => 'hook' in subjectOf(other)),
      ),
      toLoopback: over(
        rate,
        best('loopback', (other) => other === subject),
      ),
    };
  });
}

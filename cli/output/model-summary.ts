// The layers of a network as text, in the style of Keras's model.summary().
import type { ModelSummary } from '../../inference/export/summary.js';
import { formatBytes, formatInteger } from './format.js';
import { formatTable } from './table.js';

/** Returns a table with a row per layer, followed by the totals. */
export function describeSummary(summary: ModelSummary): string[] {
  const rows = summary.layers.map(({ name, type, outputShape, parameters, frozen, connectedTo }) => [
    `${name} (${[type, ...frozen.map((array) => `frozen ${array}`)].join(', ')})`,
    `(None, ${outputShape.join(', ')})`,
    formatInteger(parameters),
    connectedTo.join(', ') || '-',
  ]);
  const titles = ['Layer (type)', 'Output Shape', 'Param #', 'Connected to'];
  const [header, ...lines] = formatTable([titles, ...rows], (column) => column === 2);
  const rule = '='.repeat(Math.max(header.length, ...lines.map((line) => line.length)));
  return [`Model: "${summary.model}"`, header, rule, ...lines, rule, ...totalsOf(summary)];
}

/** `Total params: 271,786 (1.04 MB) · …` */
export function describeTotals(summary: ModelSummary): string {
  return totalsOf(summary).join(' · ');
}

function totalsOf(summary: ModelSummary): string[] {
  const { totalParameters, trainableParameters, nonTrainableParameters, frozenParameters } = summary;
  const withSize = (count: number) => `${formatInteger(count)} (${formatBytes(4 * count)})`;
  const frozen = frozenParameters > 0 ? `, of which ${formatInteger(frozenParameters)} frozen` : '';
  return [
    `Total params: ${withSize(totalParameters)}`,
    `Trainable params: ${withSize(trainableParameters)}`,
    `Non-trainable params: ${withSize(nonTrainableParameters)}${frozen}`,
  ];
}

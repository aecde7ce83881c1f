// Shapes of the values in a network. Pure.
import { LockstepError } from '../errors.js';
import type { ConcatNode, GraphNode, PaddingMode, PadNode, Pair } from './graph.js';
import type { Padding, Shape } from './layers.js';

/** Throws `bad-config`, naming the node. */
export function badNode(node: Pick<GraphNode, 'name'>, problem: string): LockstepError {
  return new LockstepError('bad-config', `network node "${node.name}": ${problem}`);
}

export function describeShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** Returns height, width and channels of images. Throws `bad-config` for a vector. */
export function imageShape(node: GraphNode, shape: Shape): readonly [height: number, width: number, channels: number] {
  const [height, width, channels] = shape;
  if (shape.length === 3) return [height, width, channels];
  throw badNode(
    node,
    `${node.op} takes images, [height, width, channels], but its input has the shape ${describeShape(shape)}`,
  );
}

/** Returns the number of elements of a vector. Throws `bad-config` for images. */
export function vectorSize(node: GraphNode, shape: Shape): number {
  if (shape.length === 1) return shape[0];
  throw badNode(
    node,
    `${node.op} takes a vector, but its input has the shape ${describeShape(shape)}: add a flatten or a globalAveragePool before it`,
  );
}

interface Windows {
  readonly size: Pair;
  readonly strides: Pair;
  readonly padding: PaddingMode;
}

/** Returns the number of windows along height and width, and the padding around the image. */
export function windowsOf(
  node: GraphNode,
  [height, width]: readonly number[],
  { size, strides, padding }: Windows,
): { count: Pair; padding: Padding } {
  const [rows, columns] = [height, width].map((extent, axis) => {
    if (padding === 'same') {
      const count = Math.ceil(extent / strides[axis]);
      const missing = Math.max(0, (count - 1) * strides[axis] + size[axis] - extent);
      return { count, before: Math.floor(missing / 2), after: Math.ceil(missing / 2) };
    }
    if (extent < size[axis]) {
      throw badNode(
        node,
        `a window of ${size[0]}×${size[1]} pixels does not fit into images of ${height}×${width} pixels: use the padding same, ` +
          'or fewer layers that shrink the images',
      );
    }
    return { count: Math.floor((extent - size[axis]) / strides[axis]) + 1, before: 0, after: 0 };
  });
  return {
    count: [rows.count, columns.count],
    padding: { top: rows.before, bottom: rows.after, left: columns.before, right: columns.after },
  };
}

export function paddedShape(node: PadNode, shape: Shape): Shape {
  return imageShape(node, shape).map((extent, axis) => {
    const [before, after] = [node.rows, node.columns, node.channels][axis];
    return before + extent + after;
  });
}

export function concatShape(node: ConcatNode, shapes: readonly Shape[]): Shape {
  const outer = shapes[0].slice(0, -1);
  for (const shape of shapes) {
    if (!sameShape(shape.slice(0, -1), outer)) throw shapesDiffer(node, shapes);
  }
  return [...outer, shapes.reduce((sum, shape) => sum + shape.at(-1)!, 0)];
}

export function shapesDiffer(node: GraphNode, shapes: readonly Shape[]): LockstepError {
  return badNode(node, `${node.op} cannot combine inputs of the shapes ${shapes.map(describeShape).join(' and ')}`);
}

/** Returns the shape of a product. Only the second input may be a factor per channel. */
export function productShape(node: GraphNode, shapes: readonly Shape[]): Shape {
  const [first, second] = shapes;
  const channels = first.at(-1)!;
  const isPerChannel = sizeOf(second) === channels && second.at(-1) === channels;
  if (sameShape(first, second) || isPerChannel) return first;
  throw shapesDiffer(node, shapes);
}

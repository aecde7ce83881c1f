// Generates the random numbers of shared/random.ts in SIMD: Threefry-2x32 for four counters at a time, without loops.

const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
];

function round(by) {
  return ['x0 = i32x4.add(x0, x1);', `x1 = v128.xor(v128.or(i32x4.shl(x1, ${by}), i32x4.shr_u(x1, ${32 - by})), x0);`];
}

function block(index) {
  const [a, b] = [(index + 1) % 3, (index + 2) % 3];
  return [
    ...rotations[index % 2].flatMap(round),
    `x0 = i32x4.add(x0, key${a});`,
    `x1 = i32x4.add(x1, i32x4.add(key${b}, i32x4.splat(${index + 1})));`,
  ];
}

/** AssemblyScript source of a function that stores the four first words, then the four second words. */
export const threefry = `
export function storeWords(counter0: v128, counter1: v128, key0: v128, key1: v128, key2: v128, words: usize): void {
  let x0 = i32x4.add(counter0, key0);
  let x1 = i32x4.add(counter1, key1);
  ${[0, 1, 2, 3, 4].flatMap(block).join('\n  ')}
  v128.store(words, x0);
  v128.store(words, x1, 16);
}
`;

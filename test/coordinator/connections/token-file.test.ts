import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { TokenFile } from '../../../coordinator/connections/token-file.js';
import { FakeClock } from '../../support/fake-clock.js';
import { folderPerFile } from '../../support/folder-per-file.js';

const inFolder = folderPerFile();
const worker = 'rack worker c2d5a1f09b7e4d38\n';
const viewer = 'wall viewer 77aa31e0b92c4f51\n';

function watchedFile(name: string, text: string) {
  const file = inFolder(name);
  writeFileSync(file, text);
  const tokens = new TokenFile(file);
  const clock = new FakeClock();
  const onChange = vi.fn<(message: string) => void>();
  const stop = tokens.watch(clock, onChange);
  return { file, tokens, clock, onChange, stop };
}

it('a token file is reloaded within two seconds of a change, and only then', () => {
  const { file, tokens, clock, onChange, stop } = watchedFile('changing', worker);
  clock.advance(10_000);
  expect(onChange).not.toHaveBeenCalled();
  writeFileSync(file, viewer + worker);
  expect(tokens.table.holderOf('77aa31e0b92c4f51')).toBeUndefined();
  clock.advance(2_000);
  expect(tokens.table.holderOf('77aa31e0b92c4f51')?.role).toBe('viewer');
  expect(onChange.mock.calls).toEqual([[`reloaded the tokens of ${file}`]]);
  stop();
  expect(clock.running).toBe(0);
});

it('a token is revoked when it is removed from the file', () => {
  const { file, tokens, clock } = watchedFile('revoked', worker + viewer);
  writeFileSync(file, viewer);
  clock.advance(2_000);
  expect(tokens.table.holderOf('c2d5a1f09b7e4d38')).toBeUndefined();
});

it('a token file that becomes invalid or is removed is reported, and its last valid tokens remain in use', () => {
  const { file, tokens, clock, onChange } = watchedFile('broken', worker);
  writeFileSync(file, 'rack janitor c2d5a1f09b7e4d38');
  clock.advance(2_000);
  rmSync(file);
  clock.advance(2_000);
  expect(tokens.table.holderOf('c2d5a1f09b7e4d38')?.role).toBe('worker');
  expect(onChange.mock.calls.map(([message]) => message)).toEqual([
    expect.stringMatching(/^kept the previous tokens: line 1 .* has an unknown role/),
    expect.stringMatching(/^kept the previous tokens: .* cannot be read \(ENOENT\)/),
  ]);
});

it('a token file may be a symbolic link that is replaced, as in a mounted Kubernetes secret', () => {
  const [first, second, link, next] = ['first', 'second', 'link', 'next'].map((name) => inFolder(name));
  writeFileSync(first, worker);
  writeFileSync(second, viewer);
  symlinkSync(first, link);
  const tokens = new TokenFile(link);
  const clock = new FakeClock();
  tokens.watch(clock, () => undefined);
  symlinkSync(second, next);
  renameSync(next, link);
  clock.advance(2_000);
  expect(tokens.table.holderOf('77aa31e0b92c4f51')?.role).toBe('viewer');
});

it('a token file that does not exist is reported with the name of the option', () => {
  expect(() => new TokenFile(inFolder('absent'))).toThrow(/^`tokenFile` is .*absent: it cannot be read \(ENOENT\)$/);
});

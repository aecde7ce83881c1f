import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { JoinLinks } from '../../../../coordinator/connections/join/join-links.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

const hour = 3_600_000;
const newTerms = { expiresMs: 24 * hour, maxWorkers: 3 };
/** 2026-11-29T18:00:00Z */
const start = 1_795_975_200_000;

/** Opens the links of a run directory and saves them, as a coordinator does when it starts. */
function open(folder: string, now: () => number = () => start, terms = newTerms): JoinLinks {
  const links = new JoinLinks(folder, terms, now);
  links.save();
  return links;
}

describe('the link of a run directory', () => {
  it('allows what the options say, from the time when it is created', async () => {
    const { current } = open(await temporaryFolder());
    expect(current).toMatchObject({ expires: start / 1000 + 24 * 3600, maxWorkers: 3 });
  });

  it('is the same, with the same terms, when the coordinator is restarted with other options', async () => {
    const folder = await temporaryFolder();
    const { current } = open(folder);
    expect(current).toBeDefined();
    expect(open(folder, () => start + hour, { expiresMs: hour, maxWorkers: 9 }).current).toEqual(current);
  });

  it('differs from that of another run directory, which does not know it', async () => {
    const [one, other] = [open(await temporaryFolder()), open(await temporaryFolder())];
    expect(one.check(other.current!.token)).toEqual({ problem: 'unknown' });
    expect(one.checkId(other.current!.id)).toEqual({ problem: 'unknown' });
  });

  it('expires, and a restarted coordinator replaces it', async () => {
    const folder = await temporaryFolder();
    let now = start;
    const links = open(folder, () => now);
    const { id, token } = links.current!;
    now = start + 24 * hour - 1;
    expect(links.check(token)).toMatchObject({ problem: null, terms: { id, maxWorkers: 3 } });
    expect(links.checkId(id)).toMatchObject({ problem: null });
    now++;
    expect(links.current).toBeUndefined();
    expect(links.check(token)).toEqual({ problem: 'expired' });
    expect(links.checkId(id)).toEqual({ problem: 'expired' });
    const restarted = open(folder, () => now);
    expect(restarted.current).toMatchObject({ expires: start / 1000 + 48 * 3600 });
    expect(restarted.check(token)).toEqual({ problem: 'expired' });
  });

  it('stays revoked after a restart, which creates another one', async () => {
    const folder = await temporaryFolder();
    const links = open(folder);
    const { id, token } = links.current!;
    links.revoke();
    expect(links.current).toBeUndefined();
    const restarted = open(folder);
    expect(restarted.current!.id).not.toBe(id);
    for (const each of [links, restarted]) {
      expect(each.check(token)).toEqual({ problem: 'revoked' });
      expect(each.checkId(id)).toEqual({ problem: 'revoked' });
    }
  });

  it('can be replaced after it has been revoked', async () => {
    const folder = await temporaryFolder();
    const links = open(folder);
    links.revoke();
    links.create();
    expect(links.check(links.current!.token)).toMatchObject({ problem: null });
    expect(open(folder).current).toEqual(links.current);
  });
});

describe('the file of the links', () => {
  it('is not created before the first save, and then only its owner can read it', async () => {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'join-link.json');
    const links = new JoinLinks(folder, newTerms);
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
    // Left by a coordinator that was killed, with a more permissive mode.
    await writeFile(`${file}.partial`, '', { mode: 0o644 });
    links.save();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).not.toContain(links.current!.token);
  });

  it.each([
    ['text that is not JSON', '{"key'],
    ['a key that is too short', JSON.stringify({ key: 'secret', link: null, revoked: [] })],
  ])('with %s is an error that names it', async (_, content) => {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'join-link.json');
    await writeFile(file, content);
    expect(() => new JoinLinks(folder, newTerms)).toThrow(
      expect.objectContaining({
        code: 'bad-data',
        message: `${file} is damaged: delete it to create a new join link`,
      }),
    );
  });

  it('that cannot be written is an error, and the link is revoked nevertheless', async () => {
    const folder = path.join(await temporaryFolder(), 'run');
    await mkdir(folder);
    const links = open(folder);
    // A folder in the place of the new file.
    await mkdir(path.join(folder, 'join-link.json.partial'));
    expect(() => links.revoke()).toThrow(expect.objectContaining({ code: 'save-failed' }));
    expect(links.current).toBeUndefined();
  });
});

/** Source files, the same in every run, and the check that they came out whole. */

import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** `size` bytes that do not repeat, so that no chunk can stand for another. */
export function bytesOf(size, seed) {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

/** A folder for source files that goes when test `t` ends. */
export async function sourceFolder(t) {
  const folder = await mkdtemp(path.join(tmpdir(), 'flowstitch-source-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a file of `size` bytes; its content follows from `seed` (default: its name). */
export async function sourceFile(folder, name, size, seed = name) {
  const file = path.join(folder, ...name.split('/'));
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, bytesOf(size, seed));
  return file;
}

/** As `sourceFile` with that seed, for files that are larger than memory should be. */
export async function largeSourceFile(folder, name, size, seed = name) {
  const file = path.join(folder, name);
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  const blocks = function* () {
    for (let left = size; left > 0; left -= MIB) {
      yield cipher.update(left < MIB ? zeros.subarray(0, left) : zeros);
    }
  };
  await pipeline(blocks, createWriteStream(file));
  return file;
}

export async function sha256(file) {
  const hash = createHash('sha256');
  for await (const block of createReadStream(file)) hash.update(block);
  return hash.digest('hex');
}

/**
 * Asserts that the server holds exactly these files: one creative each, the bytes in `completed/`
 * equal to the source, and nothing left over in `incomplete/`. `sources` are paths, or
 * `{file, filename}` where the name the server was given differs. Returns the creatives in order.
 */
export async function assertArrived(server, sources) {
  const expected = await Promise.all(
    sources.map(async (source) => {
      const { file, filename = path.basename(file) } = source.file ? source : { file: source };
      return { filename, digest: await sha256(file) };
    }),
  );
  const creatives = await creativesOf(server);
  const byName = (a, b) => (a.filename + a.digest < b.filename + b.digest ? -1 : 1);
  const told = creatives.map(({ filename, sha256: digest }) => ({ filename, digest }));
  assert.deepEqual(told.sort(byName), [...expected].sort(byName));

  const completed = path.join(server.dataDir, 'completed');
  const names = (await readdir(completed)).filter((name) => !name.startsWith('.'));
  assert.equal(names.length, sources.length, `completed/ holds ${names.join(', ')}`);
  for (const creative of creatives) {
    const name = names.find((one) => one === creative.id || one.startsWith(`${creative.id}.`));
    assert.ok(name, `completed/ has no file of creative ${creative.id}`);
    assert.equal(await sha256(path.join(completed, name)), creative.sha256, creative.filename);
  }
  assert.deepEqual(await partFiles(server), []);
  return expected.map(({ filename, digest }) =>
    creatives.find((one) => one.filename === filename && one.sha256 === digest),
  );
}

/** All creatives of the server, page by page. */
async function creativesOf(server) {
  const found = [];
  let cursor = '';
  do {
    const page = await server.get(`/creatives?limit=100${cursor}`);
    found.push(...page.creatives);
    cursor = page.next_cursor && `&cursor=${encodeURIComponent(page.next_cursor)}`;
  } while (cursor);
  return found;
}

/** The unfinished files in `incomplete/`. */
export async function partFiles(server) {
  const names = await readdir(path.join(server.dataDir, 'incomplete'));
  return names.filter((name) => name.endsWith('.part'));
}

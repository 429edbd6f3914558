/** A list of missing chunks that the server has cut: both clients ask on until they have all of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { wholeStatus } from '../../static/api.js';
import '../../static/flow-resume.js';

const PAGE = 2;
const MISSING = [
  [1, 2],
  [4, 4],
  [6, 6],
  [8, 9],
  [11, 12],
];

/** The status from this chunk on, as the server gives it. */
function page(from, id = 'u1') {
  const rest = MISSING.filter(([, last]) => last >= from);
  const upload = { id, state: 'receiving', missing_chunks: rest.slice(0, PAGE) };
  if (rest.length > PAGE) upload.missing_truncated = true;
  return { upload: structuredClone(upload), complete: false };
}

test('the whole list is put together', async () => {
  const asked = [];
  const status = await wholeStatus(page(1), async ({ from_chunk: from }) => {
    asked.push(from);
    return page(from);
  });
  assert.deepEqual(status.upload.missing_chunks, MISSING);
  assert.deepEqual(asked, [5, 10]);
  assert.equal(await wholeStatus(null, assert.fail), null);
});

test('an upload that is replaced meanwhile counts as unknown', async () => {
  assert.equal(await wholeStatus(page(1), async () => null), null);
  assert.equal(await wholeStatus(page(1), async () => page(5, 'u2')), null);
});

/** As much of a flow.js file as the helper touches. */
function flowFile(count) {
  const opts = { target: 'http://flow.test/upload', query: {} };
  const file = { flowObj: { opts }, sizeUploaded: () => 0, isComplete: () => false };
  const getParams = () => ({ flowIdentifier: 'a', flowChunkNumber: 1 });
  file.chunks = Array.from({ length: count }, (_, offset) => ({ offset, getParams }));
  return file;
}

async function resumed(answer) {
  globalThis.location = { href: 'http://flow.test/' };
  globalThis.fetch = async (url) => answer(Number(url.searchParams.get('from_chunk') ?? 1));
  const file = flowFile(12);
  const status = await globalThis.FlowResume.resume(file);
  const present = file.chunks.filter((chunk) => chunk.xhr).map((chunk) => chunk.offset + 1);
  const tested = file.chunks.filter((chunk) => chunk.tested).length;
  return { status, present, tested };
}

const reply = (body) => ({ status: 200, json: async () => body });

test('flow-resume.js marks exactly the chunks that are there', async () => {
  const { present } = await resumed((from) => reply(page(from)));
  assert.deepEqual(present, [3, 5, 7, 10]);
});

test('flow-resume.js leaves it to the probes when the rest cannot be had', async () => {
  for (const rest of [{ status: 503 }, { status: 404 }, reply(page(1, 'u2'))]) {
    const { status, present, tested } = await resumed((from) => (from === 1 ? reply(page(1)) : rest));
    assert.equal(status, undefined);
    assert.deepEqual(present, []);
    assert.equal(tested, 0);
  }
});

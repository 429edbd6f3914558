/** What a reload or a crash leaves behind, and how little is sent again. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { flowEnded, flowUpload, launch, openFlowPage, openPage } from './support/browser.mjs';
import { assertArrived, MIB, sourceFile, sourceFolder } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { Server } from './support/server.mjs';

const CHUNKS = 12;
const STORED = 5;
const HELPER = '/static/flow-resume.js';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function setUp(t, { helper = false } = {}) {
  const server = await Server.start(t);
  const gate = await Gate.start(t, server);
  const page = await openPage(t, browser);
  const file = await sourceFile(await sourceFolder(t), 'resumed.bin', CHUNKS * MIB + 17);
  const open = async () => {
    await openFlowPage(page, gate.origin);
    if (helper) await page.addScriptTag({ url: gate.origin + HELPER });
    gate.forget();
  };
  await open();
  return { server, gate, page, file, reopen: open };
}

/** Uploads until exactly `STORED` chunks are answered and the next three are held. */
async function uploadPart({ gate, page, file }, options, settings) {
  const hold = gate.hold('POST', '/upload', { passing: STORED, held: 3 });
  await flowUpload(page, [file], options, settings);
  await hold.reached;
  return hold;
}

/** What the browser asked for since the gate last forgot. */
function requestsOf(gate) {
  return {
    probes: gate.count('GET', '/upload'),
    lookups: gate.count('GET', '/uploads/lookup'),
    posts: gate.count('POST', '/upload'),
  };
}

test('after a reload only the missing chunks are sent', async (t) => {
  const all = await setUp(t);
  const { server, gate, page, file, reopen } = all;
  const hold = await uploadPart(all);
  await reopen();
  await hold.abandoned();
  gate.forget();

  await flowUpload(page, [file]);
  const report = await flowEnded(page);
  assert.deepEqual(report.errors, []);
  assert.deepEqual(requestsOf(gate), { probes: CHUNKS, lookups: 0, posts: CHUNKS - STORED });
  await assertArrived(server, [file]);
});

test('flow-resume.js asks once and sends only the missing chunks', async (t) => {
  const all = await setUp(t, { helper: true });
  const { server, gate, page, file, reopen } = all;
  const helper = { helper: {} };
  const hold = await uploadPart(all, {}, helper);
  assert.deepEqual(requestsOf(gate), { probes: 0, lookups: 1, posts: STORED + 3 });
  await reopen();
  await hold.abandoned();
  gate.forget();

  await flowUpload(page, [file], {}, helper);
  const report = await flowEnded(page);
  assert.deepEqual(report.errors, []);
  assert.deepEqual(requestsOf(gate), { probes: 0, lookups: 1, posts: CHUNKS - STORED });
  const [creative] = await assertArrived(server, [file]);

  // Once more: the file is complete, so nothing is sent, and flow.js still gets the result.
  await reopen();
  await flowUpload(page, [file], {}, helper);
  const again = await flowEnded(page);
  assert.deepEqual(requestsOf(gate), { probes: 0, lookups: 1, posts: 0 });
  assert.equal(again.successes.length, 1);
  assert.equal(JSON.parse(again.successes[0].message).creative.id, creative.id);
  await assertArrived(server, [file]);
});

test('flow-resume.js with many files, some there and some not', async (t) => {
  const { server, gate, page, reopen } = await setUp(t, { helper: true });
  const folder = await sourceFolder(t);
  const files = [];
  for (let index = 0; index < 8; index += 1) {
    files.push(await sourceFile(folder, `file-${index}.bin`, 2 * MIB + index));
  }
  const helper = { helper: {} };
  await flowUpload(page, files.slice(0, 4), {}, helper);
  await flowEnded(page);
  await reopen();

  await flowUpload(page, files, {}, helper);
  const report = await flowEnded(page);
  assert.deepEqual(report.errors, []);
  assert.equal(report.successes.length, files.length);
  assert.deepEqual(requestsOf(gate), { probes: 0, lookups: 8, posts: 8 });
  await assertArrived(server, files);
});

test('the server is killed and restarted in mid-upload', async (t) => {
  const all = await setUp(t);
  const { server, gate, page, file } = all;
  const hold = await uploadPart(all, { maxChunkRetries: 1000, chunkRetryInterval: 50 });
  await server.kill();
  hold.drop();
  // flow.js has noticed, and goes on trying.
  await page.waitForFunction(() => window.flows.flow.retries >= 3);
  await server.restart();

  const report = await flowEnded(page);
  assert.deepEqual(report.errors, []);
  assert.equal(report.successes.length, 1);
  await assertArrived(server, [file]);
  // The chunks that were answered before the crash were not sent again.
  assert.equal(gate.count('GET', '/upload'), CHUNKS);
});

test('a crash and a reload: the probes tell the truth', async (t) => {
  const all = await setUp(t);
  const { server, gate, page, file, reopen } = all;
  const hold = await uploadPart(all);
  await server.kill();
  await server.restart();
  await reopen();
  await hold.abandoned();
  gate.forget();

  await flowUpload(page, [file]);
  const report = await flowEnded(page);
  assert.deepEqual(report.errors, []);
  assert.deepEqual(requestsOf(gate), { probes: CHUNKS, lookups: 0, posts: CHUNKS - STORED });
  await assertArrived(server, [file]);
});

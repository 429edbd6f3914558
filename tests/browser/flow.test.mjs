/** Unmodified flow.js 2.14.1 against the server, on a page of the server's own origin. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import path from 'node:path';

import { flowEnded, flowUpload, launch, openFlowPage, openPage } from './support/browser.mjs';
import { assertArrived, MIB, sourceFile, sourceFolder } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { Server } from './support/server.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function setUp(t) {
  const server = await Server.start(t);
  const page = await openPage(t, browser);
  await openFlowPage(page, server.origin);
  return { server, page, folder: await sourceFolder(t) };
}

/** As `setUp`, with a gate between the page and the server. */
async function setUpGated(t) {
  const server = await Server.start(t);
  const gate = await Gate.start(t, server);
  const page = await openPage(t, browser);
  await openFlowPage(page, gate.origin);
  return { server, gate, page, folder: await sourceFolder(t) };
}

function assertAllSucceeded(report, count) {
  assert.deepEqual(report.errors, []);
  assert.equal(report.successes.length, count);
}

const utcDay = () => new Date().toISOString().slice(0, 10);

const AWKWARD_SIZES = { 'empty.bin': 0, 'one.bin': 1, 'large.bin': 40 * MIB + 17 };

async function uploadAwkwardSizes(t, options) {
  const { server, page, folder } = await setUp(t);
  const files = [];
  for (const [name, size] of Object.entries(AWKWARD_SIZES)) {
    files.push(await sourceFile(folder, name, size));
  }
  await flowUpload(page, files, options);
  assertAllSucceeded(await flowEnded(page), files.length);
  return assertArrived(server, files);
}

test('three files at once with default options', async (t) => {
  const before = utcDay();
  const creatives = await uploadAwkwardSizes(t, {});
  assert.deepEqual(
    creatives.map((one) => one.size),
    Object.values(AWKWARD_SIZES),
  );
  for (const { scheduled_at: day } of creatives) {
    assert.ok([before, utcDay()].includes(day), 'no date means today');
  }
});

test('forceChunkSize cuts the last chunk short', async (t) => {
  const { server, gate, page, folder } = await setUpGated(t);
  const file = await sourceFile(folder, 'forced.bin', 40 * MIB + 17);
  await flowUpload(page, [file], { forceChunkSize: true });
  assertAllSucceeded(await flowEnded(page), 1);
  const lengths = gate.requests.map((one) => one.query.get('flowCurrentChunkSize')).filter(Boolean);
  assert.equal(lengths.length, 41);
  assert.ok(lengths.includes('17'));
  await assertArrived(server, [file]);
});

test('forceChunkSize with files of 0 and 1 bytes', (t) =>
  uploadAwkwardSizes(t, { forceChunkSize: true }));

test("method 'octet' sends bare bodies", (t) => uploadAwkwardSizes(t, { method: 'octet' }));

test("method 'octet' by PUT", (t) =>
  uploadAwkwardSizes(t, { method: 'octet', uploadMethod: 'PUT' }));

test("testMethod 'POST' probes without a file part", (t) =>
  uploadAwkwardSizes(t, { testMethod: 'POST' }));

test('prioritizeFirstAndLastChunk sends the last chunk second', async (t) => {
  const { server, gate, page, folder } = await setUpGated(t);
  const file = await sourceFile(folder, 'prioritized.bin', 5 * MIB + 17);
  const options = { prioritizeFirstAndLastChunk: true, simultaneousUploads: 1 };
  await flowUpload(page, [file], options);
  assertAllSucceeded(await flowEnded(page), 1);
  const order = gate.requests.map((one) => one.query.get('flowChunkNumber')).filter(Boolean);
  assert.deepEqual(order, ['1', '5', '2', '3', '4']);
  await assertArrived(server, [file]);
});

test('pause and resume in mid-upload', async (t) => {
  const { server, gate, page, folder } = await setUpGated(t);
  const file = await sourceFile(folder, 'paused.bin', 9 * MIB + 5);

  const hold = gate.hold('POST', '/upload', { passing: 4, held: 3 });
  await flowUpload(page, [file]);
  await hold.reached;
  await page.evaluate(() => window.flows.flow.flow.pause());
  await hold.abandoned();
  const { creatives } = await server.get('/creatives?limit=100');
  assert.deepEqual(creatives, []);

  await page.evaluate(() => window.flows.flow.flow.resume());
  assertAllSucceeded(await flowEnded(page), 1);
  await assertArrived(server, [file]);
});

test('a folder keeps its paths apart', async (t) => {
  const { server, gate, page, folder } = await setUpGated(t);
  // Equal in name and size, and with paths that flow.js's default identifiers cannot tell apart.
  const names = [
    'tree/a/bc.txt',
    'tree/sub dir/ünï/文件 1.txt',
    'tree/a+b&c=d#e.txt',
    'tree/b/bc.txt',
  ];
  const files = [];
  for (const name of names) files.push(await sourceFile(folder, name, 1000));

  await flowUpload(page, path.join(folder, 'tree'), {}, { input: '#folder' });
  assertAllSucceeded(await flowEnded(page), files.length);
  await assertArrived(server, files);
  const paths = gate.requests.map((one) => one.query.get('flowRelativePath')).filter(Boolean);
  assert.deepEqual([...new Set(paths)].sort(), [...names].sort());
});

test('names in three scripts', async (t) => {
  const { server, page, folder } = await setUp(t);
  const names = ['Ärger mit Öl, naïve façade.txt', '季节性横幅 二.png', 'إعلان الصيف 🎉.mp4'];
  const files = [];
  for (const [index, name] of names.entries()) {
    files.push(await sourceFile(folder, name, MIB + index));
  }
  await flowUpload(page, files);
  assertAllSucceeded(await flowEnded(page), files.length);
  await assertArrived(server, files);
});

test('names whose default identifiers collide stay two uploads', async (t) => {
  const { server, gate, page, folder } = await setUpGated(t);
  const first = await sourceFile(folder, '文件.txt', 3 * MIB);
  const second = await sourceFile(folder, '图片.txt', 3 * MIB);

  // Two flows, as in two tabs: one flow would skip the second file as a duplicate. Both are in
  // mid-upload at the same time.
  const hold = gate.hold('POST', '/upload', { passing: 2, held: 4 });
  await flowUpload(page, [first], {}, { name: 'one' });
  await page.waitForFunction(() => window.flows.one.flow.files.length === 1);
  await flowUpload(page, [second], {}, { name: 'two' });
  await hold.reached;
  hold.release();

  const reports = [await flowEnded(page, 'one'), await flowEnded(page, 'two')];
  for (const report of reports) assertAllSucceeded(report, 1);
  assert.equal(reports[0].successes[0].id, reports[1].successes[0].id);
  await assertArrived(server, [first, second]);
});

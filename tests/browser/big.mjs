/**
 * Large and many: 2 GiB and 200 small files from a browser, while the server's memory stays small.
 * Too long for every run of the tests: `npm run big`, with some 5 GB free in the temporary folder.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { flowEnded, flowUpload, launch, openFlowPage, openPage } from './support/browser.mjs';
import {
  assertArrived,
  KIB,
  largeSourceFile,
  MIB,
  sourceFile,
  sourceFolder,
} from './support/files.mjs';
import { Server } from './support/server.mjs';

const LARGE = 2048 * MIB;
const SMALL_COUNT = 200;
const MEMORY_MAX = 150 * MIB;

const mib = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function uploadAll(t, upload) {
  const folder = await sourceFolder(t);
  const large = await largeSourceFile(folder, 'large.bin', LARGE);
  const small = [];
  for (let index = 0; index < SMALL_COUNT; index += 1) {
    small.push(await sourceFile(folder, `small-${index}.bin`, index * KIB + 1));
  }
  const server = await Server.start(t);
  const idle = await server.peakMemory();
  const page = await openPage(t, browser);
  page.setDefaultTimeout(0);

  const began = performance.now();
  const files = [large, ...small];
  await upload({ server, page, files });
  const seconds = (performance.now() - began) / 1000;

  const peak = await server.peakMemory();
  const [creative] = await assertArrived(server, files);
  t.diagnostic(`${mib(LARGE)} and ${SMALL_COUNT} files in ${seconds.toFixed(1)} s`);
  t.diagnostic(`sha256 of the large file, source = completed = creative: ${creative.sha256}`);
  t.diagnostic(`VmHWM of the server: ${mib(peak)}, ${mib(idle)} of it before the first request`);
  assert.ok(peak < MEMORY_MAX, `the server had ${mib(peak)} resident`);
}

test('flow.js with default options', (t) =>
  uploadAll(t, async ({ server, page, files }) => {
    await openFlowPage(page, server.origin);
    await flowUpload(page, files);
    const report = await flowEnded(page);
    assert.deepEqual(report.errors, []);
    assert.equal(report.successes.length, files.length);
  }));

test('the page', (t) =>
  uploadAll(t, async ({ server, page, files }) => {
    await page.goto(server.origin);
    await page.locator('#choose-files').setInputFiles(files);
    const complete = page.locator('.upload[data-state=complete]');
    await complete.nth(files.length - 1).waitFor();
  }));

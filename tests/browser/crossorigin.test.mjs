/** flow.js on a page of another origin, straight to the server: preflights and readable errors. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { BARE_FILES, flowEnded, flowUpload, launch, openPage } from './support/browser.mjs';
import { assertArrived, MIB, sourceFile, sourceFolder } from './support/files.mjs';
import { Server } from './support/server.mjs';

const served = { ...BARE_FILES };
let browser;
let pages;
let origin;

before(async () => {
  browser = await launch();
  pages = http.createServer(async (request, response) => {
    const found = served[request.url];
    if (!found) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': `${found.type}; charset=utf-8` });
    response.end(found.text ?? (await readFile(found.file)));
  });
  pages.listen(0, '127.0.0.1');
  await once(pages, 'listening');
  origin = `http://127.0.0.1:${pages.address().port}`;
});

after(async () => {
  await browser?.close();
  pages?.close();
});

async function setUp(t, { allowed = true } = {}) {
  const server = await Server.start(t, allowed ? ['--cors-origins', origin] : []);
  const page = await openPage(t, browser);
  await page.goto(`${origin}/__test/`);
  const folder = await sourceFolder(t);
  return { server, page, folder, target: `${server.origin}/upload` };
}

for (const method of ['multipart', 'octet']) {
  test(`a cross-origin page uploads as ${method}`, async (t) => {
    const { server, page, folder, target } = await setUp(t);
    const files = [
      // With a type, an octet request carries a Content-Type that has to be allowed.
      await sourceFile(folder, 'photo.png', 3 * MIB + 1),
      await sourceFile(folder, 'no type', 10),
    ];
    await flowUpload(page, files, { target, method });
    const report = await flowEnded(page);
    assert.deepEqual(report.errors, []);
    assert.equal(report.successes.length, 2);
    await assertArrived(server, files);
  });
}

test('an own header on every request is allowed', async (t) => {
  const { server, page, folder, target } = await setUp(t);
  const file = await sourceFile(folder, 'header.bin', 2 * MIB);
  await flowUpload(page, [file], { target, headers: { 'X-Requested-With': 'flow.js' } });
  assert.deepEqual((await flowEnded(page)).errors, []);
  await assertArrived(server, [file]);
});

test('an error body can be read across origins', async (t) => {
  const { server, page, folder, target } = await setUp(t);
  const file = await sourceFile(folder, 'late.bin', 1000);
  await flowUpload(page, [file], { target, query: { scheduled_at: 'soon' } });
  const { errors, successes } = await flowEnded(page);
  assert.equal(successes.length, 0);
  assert.equal(errors.length, 1);
  const problem = JSON.parse(errors[0].message);
  assert.equal(problem.status, 400);
  assert.equal(problem.code, 'invalid_scheduled_at');
  assert.ok(problem.detail);
  await assertArrived(server, []);
});

test('the snippet of the README works, and resumes', async (t) => {
  const { server, page, folder } = await setUp(t);
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const [, snippet] = /```html\n(.*?)```/s.exec(readme);
  const address = 'http://127.0.0.1:8080';
  assert.ok(snippet.includes(`${address}/upload`));
  const html = `<!doctype html>${snippet.replaceAll(address, server.origin)}
    <script>
      const answered = new Promise((resolve) => flow.on('fileSuccess', (_, text) => resolve(text)));
    </script>`;
  // From a real server: a page of unknown provenance may load nothing from this machine.
  served['/__test/readme.html'] = { type: 'text/html', text: html };
  const file = await sourceFile(folder, 'readme.bin', 3 * MIB + 1);
  const requests = [];
  page.on('request', (one) => {
    const { pathname } = new URL(one.url());
    if (pathname.startsWith('/upload')) requests.push(`${one.method()} ${pathname}`);
  });

  const visit = async () => {
    await page.goto(`${origin}/__test/readme.html`);
    await page.locator('#files').setInputFiles(file);
    return JSON.parse(await page.evaluate('answered'));
  };
  const { upload } = await visit();
  const lookup = 'GET /uploads/lookup';
  assert.deepEqual(requests.splice(0), [lookup, ...Array(3).fill('POST /upload')]);
  const [creative] = await assertArrived(server, [file]);
  assert.equal(creative.upload_id, upload.id);
  assert.equal(creative.scheduled_at, '2030-01-01');

  // Once more: the file is there, so nothing is sent.
  const again = await visit();
  assert.deepEqual(requests, [lookup]);
  assert.deepEqual(again.creative, creative);
});

test('flow-resume.js works across origins', async (t) => {
  const { server, page, folder, target } = await setUp(t);
  const file = await sourceFile(folder, 'resumed.bin', 2 * MIB);
  await page.addScriptTag({ url: `${server.origin}/static/flow-resume.js` });
  const lookups = [];
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (request.method() === 'GET' && pathname.startsWith('/upload')) lookups.push(pathname);
  });
  await flowUpload(page, [file], { target }, { helper: {} });
  assert.deepEqual((await flowEnded(page)).errors, []);
  assert.deepEqual(lookups, ['/uploads/lookup']);
  await assertArrived(server, [file]);
});

test('an origin that is not on the list gets nothing stored', async (t) => {
  const { server, page, folder, target } = await setUp(t, { allowed: false });
  const file = await sourceFile(folder, 'refused.bin', 1000);
  await flowUpload(page, [file], { target });
  const { errors, successes } = await flowEnded(page);
  assert.equal(successes.length, 0);
  assert.equal(errors.length, 1);
  await assertArrived(server, []);
});

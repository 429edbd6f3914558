/** flow.js on a page of another origin, straight to the server: preflights and readable errors. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
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

/** Where the README says that the server and the page are. */
const SERVER = 'http://127.0.0.1:8080';
const PAGE = 'http://localhost:8000';

/** The blocks of the README in a language, with the places of this test. */
async function readmeBlocks(language, places = {}) {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(/^```(\w+)\n(.*?)^```/gms)].filter(([, its]) => its === language);
  return blocks.map(([, , text]) =>
    Object.entries(places).reduce((all, [place, here]) => all.replaceAll(place, here), text),
  );
}

/** A server that is started with the flags of the README's command that begins with `words`. */
async function serverOfReadme(t, words, places) {
  const lines = (await readmeBlocks('sh', places)).join('').split('\n');
  const line = lines.find((one) => one.startsWith(words));
  return Server.start(t, line.slice(words.length).trim().split(' '));
}

test('the snippet of the README works as it is said to be started, and resumes', async (t) => {
  // The name in the address is the one of the README; it is another origin than the number.
  const here = origin.replace('127.0.0.1', 'localhost');
  const server = await serverOfReadme(t, 'cargo run --release --', { [PAGE]: here });
  const page = await openPage(t, browser);
  const folder = await sourceFolder(t);
  const [snippet] = await readmeBlocks('html', { [SERVER]: server.origin });
  assert.ok(snippet.includes(`${server.origin}/upload`));
  const html = `<!doctype html>${snippet}
    <script>
      const answered = new Promise((resolve) => flow.on('fileSuccess', (_, text) => resolve(text)));
    </script>`;
  served['/page.html'] = { type: 'text/html', text: html };
  served['/flow.js'] = BARE_FILES['/__test/flow.js'];
  const file = await sourceFile(folder, 'readme.bin', 3 * MIB + 1);
  const requests = [];
  page.on('request', (one) => {
    const { pathname } = new URL(one.url());
    if (pathname.startsWith('/upload')) requests.push(`${one.method()} ${pathname}`);
  });

  const visit = async () => {
    await page.goto(`${here}/page.html`);
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

test('the ticket of the README lets the page of its origin upload', async (t) => {
  const places = { 'https://www.example.com': origin };
  const key = path.join(await sourceFolder(t), 'ticket.key');
  await writeFile(key, '0123456789abcdef'.repeat(4), { mode: 0o600 });
  const server = await serverOfReadme(t, 'flowstitch serve', { ...places, 'ticket.key': key });
  const admin = await server.tool('token', 'create', 'my-application', '--scopes', 'admin');
  const issuing = (await readmeBlocks('sh', places)).find((block) => block.includes('/tickets'));
  const issued = await fetch(`${server.origin}/tickets`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${admin}`, 'Content-Type': 'application/json' },
    body: /-d '(.*)'/.exec(issuing)[1],
  });
  const { ticket } = await issued.json();

  const [snippet] = await readmeBlocks('js');
  const html = `<!doctype html><input type="file" id="files"><script src="/flow.js"></script>
    <script src="${server.origin}/static/flow-resume.js"></script>
    <script>
      const target = '${server.origin}/upload';
      const currentTicket = '${ticket}';
      ${snippet}
      flow.assignBrowse(document.getElementById('files'));
      flow.on('filesSubmitted', () => flow.upload());
      const answered = new Promise((resolve, reject) => {
        flow.on('fileSuccess', (_, text) => resolve(text));
        flow.on('fileError', (_, text) => reject(new Error(text)));
      });
    </script>`;
  served['/ticket.html'] = { type: 'text/html', text: html };
  served['/flow.js'] = BARE_FILES['/__test/flow.js'];
  const page = await openPage(t, browser);
  const file = await sourceFile(await sourceFolder(t), 'ticket.bin', 2 * MIB + 1);
  await page.goto(`${origin}/ticket.html`);
  await page.locator('#files').setInputFiles(file);
  const { complete, creative } = JSON.parse(await page.evaluate('answered'));
  assert.deepEqual([complete, creative.user_id], [true, 'ann']);
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

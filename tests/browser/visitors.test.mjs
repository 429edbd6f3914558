/** Two people without credentials whose files flow.js calls by the same identifier. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { flowEnded, flowUpload, launch, openFlowPage, openOwnPage, openPage } from './support/browser.mjs';
import { assertArrived, MIB, sourceFile, sourceFolder } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { Server } from './support/server.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const COOKIE = 'flowstitch_visitor';
const CHUNKS = 10;
/** So many that each of the three that flow.js sends at once has shown the cookie. */
const STORED = 7;

/** Two files called image.jpg, of one size, in two folders. */
async function images(t) {
  const folder = await sourceFolder(t);
  return Promise.all(
    ['a', 'b'].map((owner) => sourceFile(folder, `${owner}/image.jpg`, CHUNKS * MIB, owner)),
  );
}

async function cookieOf(page) {
  const cookies = await page.context().cookies();
  return cookies.find((one) => one.name === COOKIE);
}

async function setUp(t) {
  const server = await Server.start(t);
  return { server, gate: await Gate.start(t, server), files: await images(t) };
}

/** How many chunks were sent since the gate forgot. */
function posts(gate) {
  return gate.count('POST', '/upload');
}

for (const options of [{}, { testChunks: false }, { method: 'octet' }]) {
  test(`unmodified flow.js with ${JSON.stringify(options)}, in two profiles`, async (t) => {
    const { server, gate, files } = await setUp(t);
    // Neither opens a page of the server's own: its first requests have no cookie.
    const [a, b] = [await openPage(t, browser), await openPage(t, browser)];
    for (const page of [a, b]) await openFlowPage(page, gate.origin);

    const hold = gate.hold('POST', '/upload', { passing: STORED, held: 3 });
    await flowUpload(a, [files[0]], options);
    await hold.reached;
    await a.close();
    await hold.abandoned();

    gate.forget();
    await flowUpload(b, [files[1]], options);
    const report = await flowEnded(b);
    assert.deepEqual(report.errors, []);
    assert.equal(posts(gate), CHUNKS, 'all of it was sent');

    // The first one comes back, and goes on where it was.
    const again = await b.context().browser().newContext();
    t.after(() => again.close());
    await again.addCookies(await a.context().cookies());
    const page = await again.newPage();
    await openFlowPage(page, gate.origin);
    gate.forget();
    await flowUpload(page, [files[0]], { ...options, testChunks: true });
    assert.deepEqual((await flowEnded(page)).errors, []);
    assert.equal(posts(gate), CHUNKS - STORED);
    await assertArrived(server, files);

    // To the second one its own result is given again.
    gate.forget();
    await flowUpload(b, [files[1]], {}, { name: 'again' });
    assert.deepEqual((await flowEnded(b, 'again')).errors, []);
    assert.equal(posts(gate), 0);
    await assertArrived(server, files);
  });
}

test("the server's own page, in two profiles", async (t) => {
  const { server, gate, files } = await setUp(t);
  const pages = [];
  for (const file of files) {
    const page = await openOwnPage(t, browser, gate.origin);
    const cookie = await cookieOf(page);
    assert.match(cookie.value, /^[0-9a-f]{32}$/);
    assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Lax']);
    assert.equal(await page.evaluate(() => document.cookie), '');
    gate.forget();
    await page.locator('#choose-files').setInputFiles(file);
    await page.locator('.upload[data-state=complete]', { hasText: 'image.jpg' }).waitFor();
    assert.ok(posts(gate) > 0, 'it was sent');
    pages.push(cookie.value);
  }
  assert.notEqual(pages[0], pages[1]);
  await assertArrived(server, files);
});

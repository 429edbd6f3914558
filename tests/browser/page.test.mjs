/** The page at `/`, used as people use it. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { launch, openOwnPage, picture } from './support/browser.mjs';
import { assertArrived, MIB, partFiles, sourceFile, sourceFolder } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { Server } from './support/server.mjs';

const CHUNKS = 12;
const STORED = 5;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function setUp(t, { flags = [], ...options } = {}) {
  const server = await Server.start(t, flags);
  const gate = await Gate.start(t, server);
  const page = await openOwnPage(t, browser, gate.origin, options);
  return { server, gate, page, folder: await sourceFolder(t) };
}

const choose = (page, files) => page.locator('#choose-files').setInputFiles(files);
const row = (page, name) => page.locator('.upload', { hasText: name });
const state = (page, name, wanted) =>
  row(page, name)
    .and(page.locator(`[data-state=${wanted}]`))
    .waitFor();
const press = (page, name, button) =>
  row(page, name)
    .getByRole('button', { name: new RegExp(`^${button} `) })
    .click();

/** Chooses a file of `CHUNKS` chunks; returns when `STORED` of them are there and the rest is held. */
async function uploadPart({ gate, page, folder }, name) {
  const file = await sourceFile(folder, name, CHUNKS * MIB + 17);
  const hold = gate.hold('POST', '/upload', { passing: STORED, held: 3 });
  await choose(page, [file]);
  await hold.reached;
  return { file, hold };
}

test('upload, pause, reload, choose again, resume, and see it under today', async (t) => {
  const all = await setUp(t);
  const { server, gate, page } = all;
  await picture(page, 'page-empty');
  const { file, hold } = await uploadPart(all, 'campaign.mov');
  assert.equal(gate.count('GET', '/uploads/lookup'), 1);
  assert.equal(gate.count('GET', '/upload'), 0);
  await picture(page, 'page-uploading');

  await press(page, 'campaign.mov', 'Pause');
  await state(page, 'campaign.mov', 'paused');
  await hold.abandoned();
  await page.reload();
  await page.locator('#unfinished').getByText('campaign.mov').waitFor();
  await picture(page, 'page-unfinished');
  gate.forget();

  await choose(page, [file]);
  await state(page, 'campaign.mov', 'complete');
  assert.equal(gate.count('GET', '/uploads/lookup'), 1);
  assert.equal(gate.count('POST', '/upload'), CHUNKS - STORED);
  await page.locator('#unfinished').waitFor({ state: 'hidden' });
  await page.locator('#today').getByRole('link', { name: 'campaign.mov' }).waitFor();
  await picture(page, 'page-complete');
  await assertArrived(server, [file]);
});

test('pause and resume without a reload', async (t) => {
  const all = await setUp(t);
  const { server, gate, page } = all;
  const { file, hold } = await uploadPart(all, 'paused.bin');
  await press(page, 'paused.bin', 'Pause');
  await state(page, 'paused.bin', 'paused');
  await hold.abandoned();
  gate.forget();

  await press(page, 'paused.bin', 'Resume');
  await state(page, 'paused.bin', 'complete');
  assert.equal(gate.count('POST', '/upload'), CHUNKS - STORED);
  await assertArrived(server, [file]);
});

test('cancel removes the upload from the server, and it can be started again', async (t) => {
  const all = await setUp(t);
  const { server, page } = all;
  const { file, hold } = await uploadPart(all, 'cancelled.bin');
  assert.equal((await partFiles(server)).length, 1);
  await press(page, 'cancelled.bin', 'Cancel');
  await state(page, 'cancelled.bin', 'cancelled');
  await hold.abandoned();
  await picture(page, 'page-cancelled');

  const { uploads } = await server.get('/uploads?limit=100');
  assert.deepEqual(
    uploads.map((one) => one.upload.state),
    ['cancelled'],
  );
  await assertArrived(server, []);

  await press(page, 'cancelled.bin', 'Retry');
  await state(page, 'cancelled.bin', 'complete');
  await assertArrived(server, [file]);
});

test('a server that dies in mid-upload is waited for', async (t) => {
  const all = await setUp(t);
  const { server, page } = all;
  const { file, hold } = await uploadPart(all, 'patient.bin');
  await server.kill();
  hold.drop();
  await state(page, 'patient.bin', 'waiting');
  await picture(page, 'page-waiting');
  await server.restart();
  await state(page, 'patient.bin', 'complete');
  await assertArrived(server, [file]);
});

test('a hostile name is shown as text', async (t) => {
  const { server, page, folder } = await setUp(t);
  const name = '<img src=x onerror=window.pwned=1>"\'&amp;.txt';
  const file = await sourceFile(folder, name, 10);
  await choose(page, [file]);
  await state(page, name, 'complete');
  const link = page.locator('#today a.name');
  await link.waitFor();
  assert.equal(await link.textContent(), name);
  assert.equal(await page.locator('.upload .name').textContent(), name);
  assert.equal(await page.locator('#uploads img, #today img').count(), 0);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  await assertArrived(server, [file]);
});

test('a refused day is explained, and another one can be chosen', async (t) => {
  const { server, page, folder } = await setUp(t);
  const file = await sourceFile(folder, 'yesterday.bin', 3 * MIB);
  await page.locator('#day').fill('2001-01-01');
  await choose(page, [file]);
  await state(page, 'yesterday.bin', 'failed');
  assert.match(await row(page, 'yesterday.bin').locator('.status').textContent(), /past|day|date/i);
  await picture(page, 'page-refused');
  await assertArrived(server, []);

  const tomorrow = new Date(Date.now() + 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
  await row(page, 'yesterday.bin').locator('input[type=date]').fill(tomorrow);
  await press(page, 'yesterday.bin', 'Retry');
  await state(page, 'yesterday.bin', 'complete');
  await page.locator('#tomorrow').getByRole('link', { name: 'yesterday.bin' }).waitFor();
  const [creative] = await assertArrived(server, [file]);
  assert.equal(creative.scheduled_at, tomorrow);
});

test('a creative is moved to another day and deleted from the list', async (t) => {
  const { server, page, folder } = await setUp(t);
  const file = await sourceFile(folder, 'moved.bin', 1000);
  await choose(page, [file]);
  const today = page.locator('#today .creative', { hasText: 'moved.bin' });
  await today.waitFor();

  const tomorrow = new Date(Date.now() + 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
  await today.locator('input[type=date]').fill(tomorrow);
  const moved = page.locator('#tomorrow .creative', { hasText: 'moved.bin' });
  await moved.waitFor();
  await today.waitFor({ state: 'detached' });
  const [creative] = await assertArrived(server, [file]);
  assert.equal(creative.scheduled_at, tomorrow);

  await moved.getByRole('button', { name: /^Delete/ }).click();
  await moved.getByRole('button', { name: /^Really/ }).click();
  await moved.waitFor({ state: 'detached' });
  await assertArrived(server, []);
});

test('a folder, a drop and an image, on a narrow dark screen', async (t) => {
  const narrow = { colorScheme: 'dark', viewport: { width: 360, height: 740 } };
  const { server, page, folder } = await setUp(t, narrow);
  const files = [
    await sourceFile(folder, 'tree/a/same name.txt', 2000),
    await sourceFile(folder, 'tree/b/same name.txt', 2000),
  ];
  await page.locator('#choose-folder').setInputFiles(path.join(folder, 'tree'));
  await state(page, 'tree/a/same name.txt', 'complete');
  await state(page, 'tree/b/same name.txt', 'complete');

  // A real picture, drawn by the browser itself and dropped on the page.
  const drawn = await page.evaluate(async () => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 64;
    canvas.getContext('2d').fillRect(8, 8, 48, 48);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
    const data = new DataTransfer();
    data.items.add(new File([blob], 'drawn.png', { type: 'image/png' }));
    const drop = new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
    document.getElementById('dropzone').dispatchEvent(drop);
    return blob.size;
  });
  await state(page, 'drawn.png', 'complete');
  const image = page.locator('#today img');
  await image.scrollIntoViewIfNeeded();
  await page.waitForFunction(() => document.querySelector('#today img').naturalWidth === 64);
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  assert.equal(overflow, 0, 'nothing is wider than the screen');
  await picture(page, 'page-narrow-dark');

  const { creatives } = await server.get('/creatives?limit=100');
  assert.equal(creatives.length, 3);
  assert.equal(creatives.find((one) => one.filename === 'drawn.png').size, drawn);
  assert.equal(files.length, creatives.filter((one) => one.filename === 'same name.txt').length);
});

test('the page can be used with the keyboard alone', async (t) => {
  const { gate, page, folder } = await setUp(t);
  const file = await sourceFile(folder, 'keyboard.bin', CHUNKS * MIB);
  const hold = gate.hold('POST', '/upload', { passing: 1, held: 3 });
  const chooser = page.waitForEvent('filechooser');
  await page.locator('#choose-files').focus();
  await page.keyboard.press('Space');
  await (await chooser).setFiles([file]);
  await hold.reached;

  await row(page, 'keyboard.bin')
    .getByRole('button', { name: /^Pause/ })
    .focus();
  await page.keyboard.press('Enter');
  await state(page, 'keyboard.bin', 'paused');
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label'));
  assert.equal(await focused(), 'Resume keyboard.bin');
  await hold.abandoned();
  await page.keyboard.press('Enter');
  await state(page, 'keyboard.bin', 'complete');
  const announced = page.locator('#announcer');
  assert.equal(await announced.textContent(), 'keyboard.bin is complete.');
});

test('plain HTTP on a network name: no SHA-256 in the browser, and it works all the same', async (t) => {
  // With open access only names of this machine are answered.
  const { server, gate, page, folder } = await setUp(t, { flags: ['--allow-anonymous'] });
  const file = await sourceFile(folder, 'insecure.bin', 3 * MIB + 1);
  await page.goto(gate.origin.replace('127.0.0.1', 'flowstitch.test'));
  assert.equal(await page.evaluate(() => isSecureContext), false);
  await choose(page, [file]);
  await state(page, 'insecure.bin', 'complete');
  await assertArrived(server, [file]);
});

/** The page of a server that wants to know who asks, and sends no mail. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { launch, openOwnPage, picture, PIXEL } from './support/browser.mjs';
import { sourceFile, sourceFolder } from './support/files.mjs';
import { Server } from './support/server.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function setUp(t, options) {
  const server = await Server.start(t);
  const token = await server.tool('token', 'create', 'ann');
  const page = await openOwnPage(t, browser, server.origin, options);
  return { server, page, token, folder: await sourceFolder(t) };
}

const panel = (page) => page.locator('#sign-in');
async function signIn(page, token) {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

test('a token is asked for, a wrong one refused, and with the right one all goes on', async (t) => {
  const { server, page, token, folder } = await setUp(t);
  await panel(page).waitFor();
  await picture(page, 'sign-in');

  // Chosen before anybody has signed in: it waits for that.
  const file = await sourceFile(folder, 'campaign.bin', 3 * 1024 * 1024 + 5);
  await page.locator('#choose-files').setInputFiles([file]);
  await page.locator('.upload[data-state=failed]').waitFor();

  await signIn(page, 'not a token');
  await page.getByText('That is no token').waitFor();
  await signIn(page, `${token}0`);
  await page.getByText('not valid').waitFor();
  assert.equal(await page.locator('#sign-out').isVisible(), false);

  await signIn(page, token);
  await panel(page).waitFor({ state: 'hidden' });
  await page.locator('.upload[data-state=complete]').waitFor();
  await page.locator('#today').getByText('campaign.bin').waitFor();
  const { creatives } = await (
    await fetch(`${server.origin}/creatives`, { headers: { Authorization: `Bearer ${token}` } })
  ).json();
  assert.equal(creatives[0].user_id, 'ann');

  // A link carries no token, and what it leads to is saved all the same.
  const saved = page.waitForEvent('download');
  await page.locator('#today').getByRole('link', { name: 'campaign.bin' }).click();
  const download = await saved;
  assert.equal(download.suggestedFilename(), 'campaign.bin');
  assert.ok((await readFile(await download.path())).equals(await readFile(file)));
  await picture(page, 'signed-in');
});

test('pictures are shown to whoever signed in, and nothing is left after signing out', async (t) => {
  const { page, token, folder } = await setUp(t, { viewport: { width: 390, height: 844 } });
  await panel(page).waitFor();
  await picture(page, 'sign-in-phone');
  await signIn(page, token);
  await panel(page).waitFor({ state: 'hidden' });
  const file = path.join(folder, 'dot.png');
  await writeFile(file, PIXEL);
  await page.locator('#choose-files').setInputFiles([file]);
  const image = page.locator('#today img');
  await image.waitFor({ state: 'attached' });
  await page.waitForFunction(() => document.querySelector('#today img')?.naturalWidth === 1);

  await page.getByRole('button', { name: 'Sign out' }).click();
  await panel(page).waitFor();
  assert.equal(await page.locator('#today li').count(), 0);
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(!kept.includes(token.slice(-20)), 'the token is nowhere');
});

test('a token that is taken back asks again', async (t) => {
  const { server, page, token } = await setUp(t);
  await signIn(page, token);
  await panel(page).waitFor({ state: 'hidden' });
  const [{ id }] = JSON.parse(await server.tool('token', 'list', '--json'));
  await server.tool('token', 'revoke', id);
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await panel(page).waitFor();
  await page.getByText('not signed in any more').waitFor();
  const other = await server.tool('token', 'create', 'ann');
  await signIn(page, other);
  await panel(page).waitFor({ state: 'hidden' });
});

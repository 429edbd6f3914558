/** Signing in to the page by a code, read from a real mail server; and uploads with a ticket. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';

import {
  flowEnded,
  flowUpload,
  launch,
  openFlowPage,
  openOwnPage,
  picture,
  PIXEL,
} from './support/browser.mjs';
import { MIB, sourceFile, sourceFolder } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { MailServer } from './support/mail.mjs';
import { Server } from './support/server.mjs';

const EMAIL = 'ann@example.com';
const PHONE = { viewport: { width: 390, height: 844 } };

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A server that sends mail and issues tickets, with Ann and an application; the page is open. */
async function setUp(t, { clock = false, ...options } = {}) {
  const [mail, folder] = [await MailServer.start(t), await sourceFolder(t)];
  const key = path.join(folder, 'ticket.key');
  await writeFile(key, 'a secret that only this test knows, and nobody else', { mode: 0o600 });
  const server = await Server.start(t, [...mail.flags, `--ticket-key=${key}`]);
  await server.tool('user', 'add', 'ann', '--email', EMAIL);
  const gate = await Gate.start(t, server);
  const page = await openOwnPage(t, browser, gate.origin, { clock, ...options });
  await panel(page).waitFor();
  return { mail, server, gate, page, folder };
}

const panel = (page) => page.locator('#sign-in');
const press = (page, name) => panel(page).getByRole('button', { name }).click();

async function ask(page, email) {
  await page.getByLabel('E-mail address').fill(email);
  await press(page, 'Send me a code');
  await page.getByText(`If ${email} is known here`).waitFor();
}

async function enter(page, code) {
  await page.getByLabel('Code', { exact: true }).fill(code);
  await press(page, 'Sign in');
}

/** Enters a code that is right; gives what the page got for it. */
async function enterRight(page, code) {
  const opened = page.waitForResponse(
    (answer) => answer.url().endsWith('/auth/session') && answer.status() === 201,
  );
  await enter(page, code);
  const { token } = await (await opened).json();
  await panel(page).waitFor({ state: 'hidden' });
  return token;
}

async function signIn(page, mail) {
  await ask(page, EMAIL);
  return enterRight(page, await mail.code());
}

const bearer = (token) => ({ Authorization: `Bearer ${token}` });

test('a code from a mail signs in, what is uploaded is seen, and signing out ends it', async (t) => {
  const { mail, gate, server, page, folder } = await setUp(t, PHONE);
  await picture(page, 'code-1-address');
  // Nothing tells that nobody has this address.
  await ask(page, 'nobody@example.com');
  await enter(page, '123456');
  await page.getByText('not valid').waitFor();
  await press(page, 'Another address');

  await ask(page, EMAIL);
  await picture(page, 'code-2-code');
  const letter = await mail.next();
  assert.deepEqual([letter.to, letter.sender], [[EMAIL], 'up@example.com']);
  const code = /^\s*(\d{6})\s*$/m.exec(letter.text)[1];
  const wrong = String((Number(code) + 1) % 1_000_000).padStart(6, '0');
  await enter(page, wrong);
  await page.getByText('not valid').waitFor();
  await picture(page, 'code-3-wrong');
  const token = await enterRight(page, ` ${code.slice(0, 3)} ${code.slice(3)} `);

  const file = path.join(folder, 'dot.png');
  await writeFile(file, PIXEL);
  await page.locator('#choose-files').setInputFiles([file]);
  await page.waitForFunction(() => document.querySelector('#today img')?.naturalWidth === 1);
  await picture(page, 'code-4-signed-in');
  const headers = bearer(token);
  const { creatives } = await (await fetch(`${server.origin}/creatives`, { headers })).json();
  assert.equal(creatives[0].user_id, 'ann');

  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(!kept.includes(token.slice(-20)), 'the session is nowhere');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await panel(page).waitFor();
  assert.equal(await page.locator('#today li').count(), 0);
  assert.equal(gate.count('DELETE', '/auth/session'), 1);
  assert.equal((await fetch(`${server.origin}/creatives`, { headers })).status, 401);
});

test('an upload that met the end of the session goes on after signing in again', async (t) => {
  const { mail, server, gate, page, folder } = await setUp(t);
  const token = await signIn(page, mail);
  const file = await sourceFile(folder, 'campaign.bin', 12 * MIB + 17);
  const hold = gate.hold('POST', '/upload', { passing: 5, held: 3 });
  await page.locator('#choose-files').setInputFiles([file]);
  await hold.reached;
  const session = { method: 'DELETE', headers: bearer(token) };
  assert.equal((await fetch(`${server.origin}/auth/session`, session)).status, 204);
  hold.release();
  await page.locator('.upload[data-state=failed]').waitFor();
  await panel(page).waitFor();
  await picture(page, 'code-5-ended');
  gate.forget();
  await signIn(page, mail);
  await page.locator('.upload[data-state=complete]').waitFor();
  assert.ok(gate.count('POST', '/upload') < 12, 'only what was missing was sent');
});

test('a session is renewed while the page is used, and no more when it is not', async (t) => {
  const { mail, gate, page } = await setUp(t, { clock: true });
  await signIn(page, mail);
  const renewals = () => gate.count('POST', '/auth/session') - 1;
  const use = async () => {
    const answered = page.waitForResponse('**/scheduled');
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await answered;
  };
  await use();
  const renewed = page.waitForResponse('**/auth/session');
  await page.clock.fastForward('31:00');
  assert.equal((await renewed).status(), 200);
  assert.equal(renewals(), 1);
  // The page moves its clock through half the time again and again, and nothing is sent.
  await page.clock.fastForward('59:00');
  await use();
  assert.equal(renewals(), 1);
});

test('a ticket uploads what it allows, and nothing else', async (t) => {
  const { mail, server, gate, page, folder } = await setUp(t);
  await signIn(page, mail);
  const admin = await server.tool('token', 'create', 'application', '--scopes', 'admin');
  const issue = async (claims) => {
    const answer = await fetch(`${server.origin}/tickets`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${admin}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ sub: 'ann', ...claims }),
    });
    assert.equal(answer.status, 201);
    return (await answer.json()).ticket;
  };
  const ticket = await issue({ filename: 'campaign.bin', max_size: 3 * MIB, uploads: 1 });
  const named = await issue({ filename: 'campaign.bin', max_size: 3 * MIB });
  const pictures = await issue({ accept: ['image/*'] });
  const fits = await sourceFile(folder, 'campaign.bin', 2 * MIB + 5);
  const again = await sourceFile(folder, 'again/campaign.bin', MIB);
  const larger = await sourceFile(folder, 'larger/campaign.bin', 3 * MIB + 1);
  const other = await sourceFile(folder, 'campaign.png', 1000);
  // A page, whatever its name says.
  const posing = path.join(folder, 'posing.png');
  await writeFile(posing, `<!doctype html><script>1</script>${' '.repeat(1000)}`);
  const dot = path.join(folder, 'dot.png');
  await writeFile(dot, PIXEL);

  const app = await openOwnPage(t, browser, `${gate.origin}/healthz`);
  const send = async (name, file, query) => {
    await openFlowPage(app, gate.origin);
    await flowUpload(app, [file], { query, testChunks: false }, { name, identifier: name });
    return flowEnded(app, name);
  };
  const refusal = async (name, file, query) => {
    const { errors, successes } = await send(name, file, query);
    assert.deepEqual(successes, [], name);
    const { status, code } = JSON.parse(errors[0].message);
    return [status, code];
  };
  assert.deepEqual(await refusal('larger', larger, { ticket }), [413, 'too_large']);
  assert.deepEqual(await refusal('other', other, { ticket }), [403, 'forbidden']);
  assert.deepEqual(await refusal('none', fits, {}), [401, 'unauthenticated']);
  const forged = `${ticket.slice(0, -2)}AA`;
  assert.deepEqual(await refusal('forged', fits, { ticket: forged }), [401, 'unauthenticated']);
  const untaken = [415, 'type_not_accepted'];
  assert.deepEqual(await refusal('of no kind', fits, { ticket: pictures }), untaken);
  assert.deepEqual(await refusal('posing', posing, { ticket: pictures }), untaken);
  for (const [name, file, query] of [
    ['fits', fits, { ticket }],
    ['a picture', dot, { ticket: pictures }],
  ]) {
    const { successes } = await send(name, file, query);
    assert.equal(successes.length, 1, name);
  }
  assert.deepEqual(await refusal('again', again, { ticket }), [403, 'forbidden']);
  assert.deepEqual(await refusal('of another', other, { ticket: named }), [403, 'forbidden']);

  // They are Ann's, who sees them where she signed in, and no others.
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await page.locator('#today').getByText('campaign.bin').waitFor();
  assert.equal(await page.locator('#today li').count(), 2);
});

test('where everybody may come one can sign in all the same', async (t) => {
  const mail = await MailServer.start(t);
  const server = await Server.start(t, [...mail.flags, '--allow-anonymous']);
  const page = await openOwnPage(t, browser, server.origin, PHONE);
  const offer = page.locator('#offer-sign-in');
  await page.waitForLoadState('networkidle');
  assert.ok(await offer.isHidden(), 'there is nobody as whom one could');
  await server.tool('user', 'add', 'ann', '--email', EMAIL);
  await page.reload();
  await offer.waitFor();
  await picture(page, 'code-6-offer');
  await page.setViewportSize({ width: 1280, height: 800 });
  await picture(page, 'code-7-offer-wide');
  await offer.click();
  await page.getByText('You may go on without it').waitFor();
  assert.ok(await offer.isHidden());
  await picture(page, 'code-8-offered-wide');
  await page.setViewportSize(PHONE.viewport);
  await picture(page, 'code-9-offered');
  await signIn(page, mail);
  assert.ok(await offer.isHidden());
  await page.getByRole('button', { name: 'Sign out' }).click();
  await offer.waitFor();
});

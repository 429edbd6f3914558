/** Chromium, and pages in it: the real one, and bare ones that run the real flow.js. */

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import { chromiumPath } from './installed.mjs';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A name that is not localhost: over plain HTTP the browser then offers no crypto.subtle.
  '--host-resolver-rules=MAP flowstitch.test 127.0.0.1',
];

const flowScript = createRequire(import.meta.url).resolve('@flowjs/flow.js/dist/flow.js');
const pageScript = fileURLToPath(new URL('flow-page.js', import.meta.url));

const BARE_PAGE = `<!doctype html><meta charset="utf-8"><title>flow.js</title>
<input type="file" id="files" multiple>
<input type="file" id="folder" webkitdirectory>
<script src="/__test/flow.js"></script>
<script src="/__test/flow-page.js"></script>`;

/** The files of a bare page, as `[path, content type, file or text]`. */
export const BARE_FILES = {
  '/__test/': { type: 'text/html', text: BARE_PAGE },
  '/__test/flow.js': { type: 'text/javascript', file: flowScript },
  '/__test/flow-page.js': { type: 'text/javascript', file: pageScript },
};

/** A browser for one test file; each test takes a context, which is a profile of its own. */
export function launch() {
  return chromium.launch({ executablePath: chromiumPath(), args: FLAGS });
}

/** A fresh profile with one page. An error nobody catches in the page fails the test. */
export async function openPage(t, browser, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  page.on('pageerror', (error) => {
    throw error;
  });
  return page;
}

/** The smallest picture there is, as a PNG. */
export const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

/**
 * The server's own page at `url`, which must keep to its own security policy. Its days are those of
 * the server, which are UTC days. With `clock` its time can be moved.
 */
export async function openOwnPage(t, browser, url, { clock = false, ...options } = {}) {
  const page = await openPage(t, browser, { timezoneId: 'UTC', ...options });
  const refused = [];
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) refused.push(message.text());
  });
  t.after(() => assert.deepEqual(refused, [], 'the page keeps to its own security policy'));
  if (clock) await page.clock.install();
  await page.goto(url);
  return page;
}

/**
 * A page of the server's own origin that holds nothing but flow.js. The browser is given the page
 * in the server's place, so the server's security policy is neither used nor loosened.
 */
export async function openFlowPage(page, origin) {
  await page.route(`${origin}/__test/**`, (route) => {
    const { type, text, file } = BARE_FILES[new URL(route.request().url()).pathname];
    return route.fulfill({ contentType: type, body: text, path: file });
  });
  await page.goto(`${origin}/__test/`);
  await page.unroute(`${origin}/__test/**`);
}

/** Starts flow.js with `options` on the files of input `#files` or `#folder`. See flow-page.js. */
export async function flowUpload(page, files, options = {}, settings = {}) {
  const { name = 'flow', input = '#files', ...rest } = settings;
  await page.evaluate(
    ([flow, opts, more]) => window.startFlow(flow, opts, more),
    [name, { target: '/upload', ...options }, rest],
  );
  await page.locator(input).setInputFiles(files);
}

/** Waits until flow.js has ended with all files; fails if one of them did. */
export async function flowEnded(page, name = 'flow') {
  await page.waitForFunction((flow) => window.flows[flow].ended, name);
  return page.evaluate((flow) => window.flows[flow].report(), name);
}

/** Keeps a picture of the page if somebody asked for pictures. */
export async function picture(page, name) {
  const folder = process.env.FLOWSTITCH_SHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
}

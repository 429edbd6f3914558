/**
 * Runs the tests of this folder, or those that are named. Without a browser the tests that need one
 * are named and left out, unless CI=true: there that is a failure.
 */

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import {
  chromiumPath,
  ffmpegPath,
  firefoxPath,
  mailPython,
  packagesInstalled,
  serverBinary,
  webKitDriverPath,
} from './support/installed.mjs';

const NEED_NO_BROWSER = ['engine.test.mjs', 'truncated.test.mjs', 'uploader.test.mjs'];

const NEED_MAIL = ['code.test.mjs'];

const NEED_MEDIA = ['media.test.mjs'];

const here = fileURLToPath(new URL('.', import.meta.url));
const chosen = process.argv.slice(2);
let tests = chosen.length ? chosen : readdirSync(here).filter((name) => name.endsWith('.test.mjs'));

const missing = [
  chromiumPath() ? null : 'Chromium (apt-get install chromium, or set CHROMIUM)',
  packagesInstalled() ? null : 'the npm packages (npm ci)',
].filter(Boolean);
const inBrowser = tests.filter((name) => !NEED_NO_BROWSER.includes(name));

if (inBrowser.length && missing.length) {
  console.error(`Not run: ${inBrowser.join(', ')}. Missing: ${missing.join('; ')}.`);
  if (process.env.CI === 'true') process.exit(1);
  tests = tests.filter((name) => NEED_NO_BROWSER.includes(name));
} else if (inBrowser.length && !serverBinary()) {
  console.error(
    'There is no server to test: build it (cargo build --release) or set FLOWSTITCH_BIN.',
  );
  process.exit(1);
}

if (!mailPython() && tests.some((name) => NEED_MAIL.includes(name))) {
  console.error(`Not run: ${NEED_MAIL.join(', ')}. Missing: aiosmtpd (make browser-tools).`);
  if (process.env.CI === 'true') process.exit(1);
  tests = tests.filter((name) => !NEED_MAIL.includes(name));
}

if (!ffmpegPath() && tests.some((name) => NEED_MEDIA.includes(name))) {
  console.error(`Not run: ${NEED_MEDIA.join(', ')}. Missing: ffmpeg (make browser-tools).`);
  if (process.env.CI === 'true') process.exit(1);
  tests = tests.filter((name) => !NEED_MEDIA.includes(name));
}

const others = [
  firefoxPath() ? null : 'Firefox (apt-get install firefox-esr, or set FIREFOX)',
  webKitDriverPath() ? null : 'WebKit (apt-get install webkit2gtk-driver xvfb)',
].filter(Boolean);
if (others.length && tests.some((name) => NEED_MEDIA.includes(name))) {
  console.error(`Run in fewer browsers: ${NEED_MEDIA.join(', ')}. Missing: ${others.join('; ')}.`);
  if (process.env.CI === 'true') process.exit(1);
}

if (tests.length) {
  // One file at a time: each has a browser and servers of its own, and test machines are small.
  const flags = ['--test', '--test-concurrency=1', '--test-reporter=spec', '--test-timeout=180000'];
  const child = spawn(process.execPath, [...flags, ...tests], { cwd: here, stdio: 'inherit' });
  child.on('exit', (code) => process.exit(code ?? 1));
}

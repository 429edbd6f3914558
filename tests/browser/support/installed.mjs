/** What these tests need from the machine, and where it is. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const packages = fileURLToPath(new URL('../node_modules/playwright-core', import.meta.url));

const first = (candidates) => candidates.find((one) => one && existsSync(one)) ?? null;

/** The built server: `FLOWSTITCH_BIN`, else a release build, else a debug build. Null if none. */
export function serverBinary() {
  const { FLOWSTITCH_BIN } = process.env;
  if (FLOWSTITCH_BIN) return first([FLOWSTITCH_BIN]);
  return first([`${root}target/release/flowstitch`, `${root}target/debug/flowstitch`]);
}

/** Chromium: `CHROMIUM`, else where distributions put it. Null if there is none. */
export function chromiumPath() {
  return first([process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser']);
}

/** Firefox: `FIREFOX`, else where distributions put it. Null if there is none. */
export function firefoxPath() {
  return first([process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox']);
}

/** What drives WebKit, and shows it without a screen. Null if any of it is missing. */
export function webKitDriverPath() {
  return miniBrowserPath() && xvfbPath() && first(['/usr/bin/WebKitWebDriver']);
}

export function miniBrowserPath() {
  const architectures = ['x86_64-linux-gnu/', 'aarch64-linux-gnu/', ''];
  const versions = ['webkit2gtk-4.1', 'webkit2gtk-4.0'];
  const folders = architectures.flatMap((one) => versions.map((version) => one + version));
  return first(folders.map((folder) => `/usr/lib/${folder}/MiniBrowser`));
}

export function xvfbPath() {
  return first(['/usr/bin/Xvfb']);
}

/** What makes films and sound. Null if there is none. */
export function ffmpegPath() {
  return first([process.env.FFMPEG, '/usr/bin/ffmpeg']);
}

/** A Python that has aiosmtpd: `SMTP_PYTHON`, else what `make browser-tools` makes. Null if none. */
export function mailPython() {
  return first([process.env.SMTP_PYTHON, `${root}target/browser-venv/bin/python`]);
}

/** Whether `npm ci` has been run here. */
export function packagesInstalled() {
  return existsSync(packages);
}

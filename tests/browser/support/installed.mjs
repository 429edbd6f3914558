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

/** A Python that has aiosmtpd: `SMTP_PYTHON`, else what `make browser-tools` makes. Null if none. */
export function mailPython() {
  return first([process.env.SMTP_PYTHON, `${root}target/browser-venv/bin/python`]);
}

/** Whether `npm ci` has been run here. */
export function packagesInstalled() {
  return existsSync(packages);
}

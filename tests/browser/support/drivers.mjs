/**
 * Three browsers behind one small interface: `goto(url)`, and `run(script)`, which gives what the
 * body of a function returns. Scripts run even where the page's own may not.
 *
 * Chromium is driven by Playwright, Firefox by Marionette, the protocol that it has built in, and
 * WebKit by its own WebDriver.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { launch } from './browser.mjs';
import { firefoxPath, miniBrowserPath, webKitDriverPath, xvfbPath } from './installed.mjs';

/** Each browser that is installed, as `[name, start]`; `start(t)` starts it for test `t`. */
export const browsers = [
  ['Chromium', startChromium],
  firefoxPath() && ['Firefox', startFirefox],
  webKitDriverPath() && ['WebKit', startWebKit],
].filter(Boolean);

async function startChromium(t) {
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  return {
    goto: (url) => page.goto(url),
    run: (script) => page.evaluate(`(() => { ${script} })()`),
  };
}

const FIREFOX_PREFS = {
  'marionette.port': 0,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

async function startFirefox(t) {
  const profile = await mkdtemp(path.join(tmpdir(), 'flowstitch-firefox-'));
  t.after(() => rm(profile, { recursive: true, force: true, maxRetries: 5 }));
  const prefs = Object.entries(FIREFOX_PREFS).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  );
  await writeFile(path.join(profile, 'user.js'), prefs.join(''));
  const args = ['--headless', '--marionette', '--no-remote', '--profile', profile];
  const port = await startProgram(t, firefoxPath(), args, /Listening on port (\d+)/);
  const call = await marionette(t, Number(port));
  await call('WebDriver:NewSession', { capabilities: {} });
  return {
    goto: (url) => call('WebDriver:Navigate', { url }),
    run: async (script) => (await call('WebDriver:ExecuteScript', { script, args: [] })).value,
  };
}

/** Speaks Marionette: `length:[0, id, command, parameters]`, answered by `[1, id, error, result]`. */
async function marionette(t, port) {
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  const waiting = new Map();
  let unread = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    unread = Buffer.concat([unread, bytes]);
    for (;;) {
      const colon = unread.indexOf(':');
      const end = colon + 1 + Number(unread.subarray(0, colon));
      if (colon < 0 || unread.length < end) return;
      const message = JSON.parse(unread.subarray(colon + 1, end));
      unread = unread.subarray(end);
      // The first message is a greeting.
      if (!Array.isArray(message)) continue;
      const [, id, error, result] = message;
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error) reject(new Error(error.message));
      else resolve(result);
    }
  });
  await once(socket, 'connect');
  let last = 0;
  return (command, parameters) => {
    const id = (last += 1);
    const text = JSON.stringify([0, id, command, parameters]);
    socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  };
}

async function startWebKit(t) {
  const display = await startProgram(t, xvfbPath(), ['-displayfd', '1', '-nolisten', 'tcp'], /^(\d+)$/);
  const port = await freePort();
  const args = [`--port=${port}`, '--host=127.0.0.1'];
  // It says nothing when it is ready: it is asked until it answers.
  await startProgram(t, webKitDriverPath(), args, null, { DISPLAY: `:${display}` });
  const ask = (method, where, body) => webDriver(port, method, where, body);
  await until(() => ask('GET', '/status').catch(() => null));
  const options = { binary: miniBrowserPath(), args: ['--automation'] };
  const wanted = { browserName: 'MiniBrowser', 'webkitgtk:browserOptions': options };
  const { sessionId } = await ask('POST', '/session', { capabilities: { alwaysMatch: wanted } });
  const session = `/session/${sessionId}`;
  t.after(() => ask('DELETE', session).catch(() => {}));
  return {
    goto: (url) => ask('POST', `${session}/url`, { url }),
    run: (script) => ask('POST', `${session}/execute/sync`, { script, args: [] }),
  };
}

async function webDriver(port, method, where, body) {
  const text = body && JSON.stringify(body);
  const request = http.request({ host: '127.0.0.1', port, method, path: where, agent: false });
  request.end(text);
  const [response] = await once(request, 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  const { value } = JSON.parse(Buffer.concat(chunks));
  if (response.statusCode !== 200) throw new Error(value.message);
  return value;
}

/** Starts a program that ends with test `t`. Gives what it says that it is ready with. */
async function startProgram(t, program, args, ready, variables = {}) {
  const env = { ...process.env, ...variables };
  // A group of its own, so that what it starts ends with it.
  const child = spawn(program, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit');
  t.after(async () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
    await ended;
  });
  const said = new Promise((resolve) => {
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on('line', (line) => {
        const found = ready && ready.exec(line);
        if (found) resolve(found[1]);
      });
    }
  });
  const died = ended.then(() => Promise.reject(new Error(`${program} ended before it was ready`)));
  died.catch(() => {});
  return ready ? Promise.race([said, died]) : null;
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** Asks until the answer is true: no browser tells its driver when a film has moved on. */
export async function until(ask) {
  for (let tries = 0; tries < 600; tries += 1) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it never became true: ${ask}`);
}

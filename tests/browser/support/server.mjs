/** The built server as a child process, with a data directory of its own. */

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { serverBinary } from './installed.mjs';

/** Without the settings of whoever runs the tests; the server refuses FLOWSTITCH_BIN, too. */
function bareEnvironment() {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('FLOWSTITCH_'));
  return Object.fromEntries(kept);
}

export class Server {
  #child = null;
  #flags;
  #log = [];

  constructor(dataDir, flags) {
    this.dataDir = dataDir;
    this.#flags = flags;
  }

  /** Starts a server that ends, with its data, when test `t` ends. */
  static async start(t, flags = []) {
    const dataDir = await mkdtemp(path.join(tmpdir(), 'flowstitch-browser-'));
    const server = new Server(dataDir, flags);
    t.after(async () => {
      await server.kill();
      await rm(dataDir, { recursive: true, force: true });
    });
    await server.#spawn('127.0.0.1:0');
    return server;
  }

  /** What a tool prints that works on this server: `tool('token', 'create', 'ann')`. */
  async tool(...args) {
    const line = [...args, '--data-dir', this.dataDir];
    const { stdout } = await promisify(execFile)(serverBinary(), line, { env: bareEnvironment() });
    return stdout.trim();
  }

  /** SIGKILL: what a crash leaves behind is what stays. */
  async kill() {
    const child = this.#child;
    this.#child = null;
    if (!child) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** The same address and data directory again, after `kill`. */
  restart() {
    return this.#spawn(new URL(this.origin).host);
  }

  async #spawn(listen) {
    const args = ['--listen', listen, '--data-dir', this.dataDir, ...this.#flags];
    const child = spawn(serverBinary(), args, { env: bareEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] });
    const failed = new Promise((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => {
        const log = this.#log.slice(-20).join('\n');
        reject(new Error(`the server ended (${code}) before it listened:\n${log}`));
      });
    });
    // Only one of the two promises below is awaited to its end.
    failed.catch(() => {});
    const listening = new Promise((resolve) => {
      // Read to the end: a full pipe would stop the server.
      createInterface({ input: child.stderr }).on('line', (line) => {
        this.#log.push(line);
        const found = /listening on (http:\/\/[0-9.]+:\d+)/.exec(line);
        if (found) resolve(found[1]);
      });
    });
    this.origin = await Promise.race([listening, failed]);
    this.#child = child;
  }

  /** The most memory that the process ever had resident, in bytes (Linux). */
  async peakMemory() {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
  }

  async get(pathname) {
    const answer = await fetch(this.origin + pathname);
    if (!answer.ok) throw new Error(`GET ${pathname}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}

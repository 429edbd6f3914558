/** A mail server as a child process, and what it was given. See smtp.py. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { mailPython } from './installed.mjs';

const SCRIPT = fileURLToPath(new URL('smtp.py', import.meta.url));

export class MailServer {
  #lines;

  /** Starts one that ends when test `t` ends. */
  static async start(t) {
    const child = spawn(mailPython(), [SCRIPT], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(async () => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    });
    const server = new MailServer();
    server.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    server.port = (await server.next()).port;
    return server;
  }

  /** The settings with which a server of ours sends its mail here. */
  get flags() {
    const flags = { host: '127.0.0.1', port: this.port, tls: 'none', from: 'up@example.com' };
    return Object.entries(flags).map(([name, value]) => `--smtp-${name}=${value}`);
  }

  /** The next mail that it took: `{to, sender, subject, text}`; waits for it. */
  async next() {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the mail server ended');
    return JSON.parse(value);
  }

  /** The code in the next mail. */
  async code() {
    return /^\s*(\d{6})\s*$/m.exec((await this.next()).text)[1];
  }
}

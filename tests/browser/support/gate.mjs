/**
 * A proxy between the browser and the server that notes every request and can hold chosen ones
 * until it is told to let them go: a state "in the middle of an upload" without any waiting.
 */

import http from 'node:http';
import { once } from 'node:events';

export class Gate {
  /** Every request that came, as `{method, path, query}`, in order. */
  requests = [];

  #holds = [];
  #http;

  /** Starts a gate in front of `server` that closes when test `t` ends. */
  static async start(t, server) {
    const gate = new Gate();
    gate.#http = http.createServer((request, response) => gate.#pass(server, request, response));
    gate.#http.listen(0, '127.0.0.1');
    await once(gate.#http, 'listening');
    gate.origin = `http://127.0.0.1:${gate.#http.address().port}`;
    t.after(() => {
      gate.#http.close();
      gate.#http.closeAllConnections();
    });
    return gate;
  }

  /** How many requests matched, e.g. `count('POST', '/upload')`. */
  count(method, pathname) {
    return this.requests.filter((one) => one.method === method && one.path === pathname).length;
  }

  /** Forgets the requests so far. */
  forget() {
    this.requests = [];
  }

  /**
   * Lets the first `passing` requests of this kind through and holds the ones after. `reached`
   * resolves when `held` are held: with as many as the client sends at a time, those that passed
   * have been answered. Then `release()` lets all go, `drop()` cuts their connections, and
   * `abandoned()` resolves once their sender has hung up: no request of them ever reaches the server.
   * To cut before the sender hangs up is no substitute for waiting: a browser then believes that an
   * idle connection was closed under it, and sends the request once more by itself.
   */
  hold(method, pathname, { passing, held }) {
    const hold = { method, pathname, passing, waiting: [] };
    const reached = new Promise((resolve) => {
      hold.onHeld = () => hold.waiting.length === held && resolve();
    });
    this.#holds.push(hold);
    const end = (passes) => {
      this.#holds = this.#holds.filter((one) => one !== hold);
      for (const { go } of hold.waiting) go(passes);
    };
    const abandoned = async () => {
      await Promise.all(hold.waiting.map(({ request }) => hungUp(request)));
      end(false);
    };
    return { reached, abandoned, release: () => end(true), drop: () => end(false) };
  }

  async #pass(server, request, response) {
    const url = new URL(request.url, 'http://gate');
    this.requests.push({ method: request.method, path: url.pathname, query: url.searchParams });
    if (!(await this.#passes(request, url.pathname)) || request.destroyed) {
      request.destroy();
      return;
    }

    const upstream = http.request(new URL(request.url, server.origin), {
      method: request.method,
      headers: request.headers,
    });
    upstream.on('response', (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    // What breaks on one side breaks on the other: the proxy must hide no lost connection.
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.on('error', () => upstream.destroy());
    request.pipe(upstream);
  }

  async #passes(request, pathname) {
    const { method } = request;
    const hold = this.#holds.find((one) => one.method === method && one.pathname === pathname);
    if (!hold) return true;
    if (hold.passing > 0) {
      hold.passing -= 1;
      return true;
    }
    return new Promise((go) => {
      hold.waiting.push({ request, go });
      hold.onHeld();
    });
  }
}

/** Resolves when the sender of `request` has closed the connection. */
function hungUp(request) {
  const { socket } = request;
  // Nobody would notice the end behind a body that nobody reads.
  request.resume();
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    // Not `once` of node:events: to hang up within a body is an error of the socket, too.
    else socket.once('close', resolve);
  });
}

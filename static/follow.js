/**
 * Waits for an upload that has all its chunks until the server has stitched it. The server's events
 * only say *when* to look; what is true is what the status says. So a proxy that buffers or cuts the
 * event stream makes this slower, never wrong.
 */

const LOOK_AT_LEAST_EVERY_MS = 3_000;

/**
 * Calls `settled(status)` with each status (null: the server does not know the upload) until it
 * returns true. Rejects when the signal aborts or a request fails.
 */
export async function follow(id, { api, signal, settled, EventSource = globalThis.EventSource }) {
  const source = EventSource ? new EventSource(`/uploads/${encodeURIComponent(id)}/events`) : null;
  const hints = new Hints();
  source?.addEventListener('message', () => hints.arrived());
  try {
    while (!settled(await api.upload(id, signal))) await hints.next(signal);
  } finally {
    source?.close();
  }
}

/** Remembers a hint that comes while the status is being fetched. */
class Hints {
  #waiting = false;
  #wake = null;

  arrived() {
    this.#waiting = true;
    this.#wake?.();
  }

  async next(signal) {
    let timer;
    let abort;
    await new Promise((resolve, reject) => {
      abort = () => reject(signal.reason);
      this.#wake = resolve;
      timer = setTimeout(resolve, LOOK_AT_LEAST_EVERY_MS);
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
      if (this.#waiting) resolve();
    }).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    });
    this.#waiting = false;
  }
}

/** When to ask again: which failures pass by themselves, and how long to wait for that. */

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;

/** No answer at all, a busy or restarting server, a full disk: these pass. */
const TRANSIENT = new Set([0, 408, 425, 429, 502, 503, 504, 507]);

/** Whether the same request may succeed later. A damaged chunk (400) is simply sent again. */
export function isTransient(status, code) {
  return TRANSIENT.has(status) || (status === 400 && code === 'checksum_mismatch');
}

/**
 * How long to wait before attempt `failures + 1`: doubling, with a limit, and with jitter, so that
 * clients that failed together do not come back together. A server that says when
 * (`retryAfterMs`) is never asked sooner.
 */
export function retryDelay(failures, retryAfterMs = 0, random = Math.random) {
  const ceiling = Math.min(FIRST_DELAY_MS * 2 ** Math.max(failures - 1, 0), LONGEST_DELAY_MS);
  const jittered = ceiling / 2 + (ceiling / 2) * random();
  return Math.max(jittered, retryAfterMs);
}

/** A `Retry-After` header in milliseconds: seconds or an HTTP date; 0 when absent or unreadable. */
export function parseRetryAfter(value, now = Date.now()) {
  if (!value) return 0;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? 0 : Math.max(at - now, 0);
}

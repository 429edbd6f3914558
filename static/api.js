/** The server's JSON interface, one function per request. */

import { parseRetryAfter } from './backoff.js';
import { session } from './session.js';

/** What went wrong with a request. `status` 0 means that no answer came. */
export class RequestError extends Error {
  constructor(status, { code = null, message, retryAfterMs = 0 }) {
    super(message);
    this.name = 'RequestError';
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The error for an answer that is no success; `body` is its parsed JSON, if it had any. */
export function errorOf(status, body, retryAfter) {
  return new RequestError(status, {
    code: body?.code ?? null,
    message: body?.detail ?? body?.title ?? `The server answered ${status}.`,
    retryAfterMs: parseRetryAfter(retryAfter),
  });
}

/** The error for a request that got no answer. */
export function noAnswer() {
  return new RequestError(0, { message: 'The server cannot be reached.' });
}

/** Parsed JSON, or null for anything else: a proxy's HTML error page is no body of ours. */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** `bare` requests show nothing, and a 401 to them says nothing of what is held. */
async function request(method, path, { body, signal, as = 'text', bare = false } = {}) {
  let response;
  let content;
  try {
    const type = body ? { 'Content-Type': 'application/json' } : {};
    response = await fetch(path, {
      method,
      signal,
      headers: { ...(bare ? {} : session.headers), ...type },
      body: body ? JSON.stringify(body) : undefined,
    });
    content = await (response.ok ? response[as]() : response.text());
  } catch (error) {
    if (signal?.aborted) throw error;
    throw noAnswer();
  }
  if (!bare) session.answered(response.status);
  if (response.ok) return as === 'text' ? parseJson(content) : content;
  throw errorOf(response.status, parseJson(content), response.headers.get('Retry-After'));
}

async function orNull(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof RequestError && error.status === 404) return null;
    throw error;
  }
}

/**
 * A status with the whole list of missing chunks: `page` is asked for the rest of a list that was
 * cut. Null if the upload goes meanwhile.
 */
export async function wholeStatus(status, page) {
  const pairs = status?.upload.missing_chunks ?? [];
  let rest = status;
  while (rest?.upload.missing_truncated) {
    rest = await page({ from_chunk: pairs.at(-1)[1] + 1 });
    if (rest?.upload.id !== status.upload.id) return null;
    pairs.push(...rest.upload.missing_chunks);
  }
  return status;
}

const at = (...segments) => `/${segments.map(encodeURIComponent).join('/')}`;

export const api = {
  /**
   * The status of the upload that these flow fields name, with all its missing chunks, or null: one
   * request for all chunks, or one more for each thousand gaps.
   */
  lookup: async (fields, signal) => {
    const page = (from) =>
      orNull(request('GET', `/uploads/lookup?${new URLSearchParams({ ...fields, ...from })}`, { signal }));
    return wholeStatus(await page(), page);
  },
  /** The status of an upload, or null when the server does not know it. */
  upload: (id, signal) => orNull(request('GET', at('uploads', id), { signal })),
  /** Cancels an upload; one that is gone already is cancelled enough. */
  cancelUpload: (id) => orNull(request('DELETE', at('uploads', id))),
  /** Today's and tomorrow's creatives. */
  scheduled: async () => (await request('GET', '/scheduled')).scheduled_creatives,
  /** Moves a creative to another day. */
  reschedule: async (id, day) =>
    (await request('PATCH', at('creatives', id), { body: { scheduled_at: day } })).creative,
  /** The file of a creative, as a blob. */
  content: (url) => request('GET', url, { as: 'blob' }),
  /** Deletes a creative and its file. */
  deleteCreative: (id) => orNull(request('DELETE', at('creatives', id))),
  /** What one may do here, and how much of it. */
  limits: () => request('GET', '/limits', { bare: true }),
  /** How one signs in here. */
  waysToSignIn: () => request('GET', '/auth', { bare: true }),
  /** Has a code sent to this address, if it is a user's. */
  sendCode: (email) => request('POST', '/auth/otp', { body: { email }, bare: true }),
  /** A session for the code that was sent. */
  signIn: (email, code) => request('POST', '/auth/session', { body: { email, code }, bare: true }),
  /** More time for the session. */
  renew: () => request('POST', '/auth/session'),
  signOut: () => request('DELETE', '/auth/session'),
};

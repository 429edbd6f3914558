/**
 * Sends one chunk. XMLHttpRequest, because fetch still cannot report how much of a body has left
 * the machine.
 */

import { errorOf, noAnswer, parseJson } from './api.js';
import { session } from './session.js';

/** A connection that moves nothing for this long is dead, whatever the network stack believes. */
const STALL_MS = 120_000;

/**
 * POSTs `blob` with `fields` as flow.js does: multipart, the file part last. Resolves with the
 * status body; rejects with a RequestError, or with the signal's reason when it was aborted.
 *
 * The part is not called as the file is, which `fields` say: browsers write a control character
 * of a name into the head of the part as it stands, and a head may have none.
 */
export function sendChunk({ target, fields, blob, digest, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append('file', blob, 'chunk');

    const xhr = new XMLHttpRequest();
    let stall;
    const moved = () => {
      clearTimeout(stall);
      stall = setTimeout(() => xhr.abort(), STALL_MS);
    };
    const abort = () => xhr.abort();

    xhr.upload.addEventListener('progress', (event) => {
      moved();
      // The request is a little longer than the chunk; only the share counts.
      if (event.lengthComputable && event.total > 0) onProgress(event.loaded / event.total);
    });
    xhr.addEventListener('loadend', () => {
      clearTimeout(stall);
      signal.removeEventListener('abort', abort);
      if (signal.aborted) return reject(signal.reason);
      if (xhr.status === 0) return reject(noAnswer());
      session.answered(xhr.status);
      const body = parseJson(xhr.responseText);
      const stored = (xhr.status === 200 || xhr.status === 201) && body?.upload;
      if (stored) return resolve(body);
      return reject(errorOf(xhr.status, body, xhr.getResponseHeader('Retry-After')));
    });

    xhr.open('POST', target);
    const headers = { ...session.headers, ...(digest ? { 'Content-Digest': digest } : {}) };
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    signal.addEventListener('abort', abort);
    moved();
    xhr.send(form);
    if (signal.aborted) xhr.abort();
  });
}

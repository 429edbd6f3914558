/*
 * flow-resume: one request instead of a probe per chunk, for an unmodified flow.js 2.x.
 *
 * flow.js asks about every chunk of a file before it sends it: 10 240 requests for 10 GiB. This
 * helper asks `GET /uploads/lookup` once per file and tells flow.js what is there already.
 *
 *     <script src="flow.min.js"></script>
 *     <script src="https://uploads.example/static/flow-resume.js"></script>
 *     <script>
 *       const target = 'https://uploads.example/upload';
 *       const flow = new Flow({ ...FlowResume.options, target });
 *       FlowResume.attach(flow);
 *       flow.on('filesSubmitted', () => flow.upload());
 *       flow.on('fileSuccess', (file, message) => {
 *         const { complete, creative } = JSON.parse(message);
 *       });
 *     </script>
 *
 * The lookup is asked for beside the target (`…/upload` → `…/uploads/lookup`); where it is elsewhere,
 * say `attach(flow, { base: 'https://other.example' })`.
 *
 * It is a classic script that defines `FlowResume`; as a module:
 *
 *     import 'https://uploads.example/static/flow-resume.js';
 *     const { attach, resume, options, uniqueIdentifier } = globalThis.FlowResume;
 *
 * The options it recommends, and why:
 *
 *     maxChunkRetries: 30,          flow.js's default is 0: it gives a file up at the first hiccup
 *     chunkRetryInterval: 2000,     default: at once, again and again
 *     permanentErrors: [400, 401, 403, 404, 409, 413, 415, 422, 500, 501]
 *                                   refusals that no repetition changes
 *     generateUniqueIdentifier: FlowResume.uniqueIdentifier
 *                                   the default drops every letter outside a-z, so that 文件.txt
 *                                   and 图片.txt of one size are one upload
 *
 * A date for the creative goes in flow.js's own `query`: { scheduled_at: '2026-12-01' }.
 */
(() => {
  'use strict';

  const SALT_KEY = 'flowstitch.flow-salt';

  /**
   * Asks the server once what it has of `flowFile`, and marks those chunks as sent. Call it before
   * `flow.upload()`, or let `attach` call it. Resolves with the status body, with null when the
   * server knows nothing of the file, or with undefined when it could not be asked; flow.js's own
   * probes then do what they always did.
   */
  async function resume(flowFile, { base } = {}) {
    const chunks = flowFile.chunks;
    const status = await lookupWhole(flowFile, base);
    // `retry()` and `cancel()` replace the chunks; an answer about the old ones is void.
    if (status === undefined || flowFile.chunks !== chunks) return undefined;
    // Chunks are being read back after a power cut. A probe has its own chunk read back at once.
    if (status?.upload.verifying) return undefined;

    const present = presence(status, chunks.length);
    const message = JSON.stringify(status);
    for (const chunk of chunks) {
      chunk.tested = true;
      if (present(chunk.offset + 1)) markPresent(chunk, message);
    }
    // What arrived in an earlier session is not speed of this one.
    flowFile._prevUploadedSize = flowFile.sizeUploaded();
    if (status && flowFile.isComplete()) chunks[chunks.length - 1].event('success', message);
    return status;
  }

  /**
   * Makes `flow` resume each file with one request, when its turn comes: on `upload()`, and again
   * on a file's `retry()`. Uses flow.js's `preprocess` hook; one that is set already still runs.
   */
  function attach(flow, options = {}) {
    const preprocess = flow.opts.preprocess;
    const held = new WeakMap();

    flow.opts.preprocess = (chunk) => {
      const { fileObj: file } = chunk;
      const { chunks } = file;
      if (held.has(chunks)) {
        held.get(chunks).push(chunk);
        return;
      }
      const waiting = [chunk];
      held.set(chunks, waiting);
      resume(file, options).finally(() => {
        // From here on the chunks of this file need not wait.
        held.set(chunks, { push: (late) => release(late) });
        const idle = waiting.filter((one) => !release(one)).length;
        // Each chunk that is there already frees a place for another request.
        for (let place = 1; place <= idle; place += 1) flow.uploadNextChunk(place < idle);
      });
    };

    /** Lets a chunk go on its way; false if it has nothing to send. */
    function release(chunk) {
      const { fileObj: file } = chunk;
      if (chunk.xhr) return false;
      if (file.paused || !flow.files.includes(file) || !file.chunks.includes(chunk)) {
        chunk.preprocessState = 0;
        return false;
      }
      if (typeof preprocess === 'function') preprocess(chunk);
      else chunk.preprocessFinished();
      return true;
    }
  }

  /** The status body, null (the server knows nothing of it) or undefined (no usable answer). */
  async function lookup(flowFile, base, fromChunk) {
    const chunk = flowFile.chunks[0];
    if (!chunk) return undefined;
    const { opts } = flowFile.flowObj;
    const of = (option) => (typeof option === 'function' ? option(flowFile, chunk, true) : option);
    const fields = { ...of(opts.query), ...chunk.getParams() };
    delete fields.flowChunkNumber;
    delete fields.flowCurrentChunkSize;
    if (fromChunk) fields.from_chunk = fromChunk;
    try {
      const url =
        base === undefined
          ? new URL('uploads/lookup', new URL(of(opts.target), location.href))
          : new URL(`${base}/uploads/lookup`, location.href);
      url.search = new URLSearchParams(fields);
      const answer = await fetch(url, {
        headers: of(opts.headers),
        credentials: opts.withCredentials ? 'include' : 'same-origin',
        cache: 'no-store',
      });
      if (answer.status === 404) return null;
      if (answer.status !== 200) return undefined;
      const status = await answer.json();
      return status && status.upload ? status : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * The status with the whole list of missing chunks. An answer lists a thousand gaps; for more it
   * says `missing_truncated`, and is asked again from the chunk behind the last one that it lists.
   */
  async function lookupWhole(flowFile, base) {
    const status = await lookup(flowFile, base);
    let page = status;
    while (page && page.upload.missing_truncated) {
      const pairs = status.upload.missing_chunks;
      page = await lookup(flowFile, base, pairs[pairs.length - 1][1] + 1);
      // Gone or replaced meanwhile: flow.js's own probes find out.
      if (!page || page.upload.id !== status.upload.id) return undefined;
      pairs.push(...page.upload.missing_chunks);
    }
    if (status) delete status.upload.missing_truncated;
    return status;
  }

  /** A function that says whether chunk `number` is there. */
  function presence(status, count) {
    if (!status || ['failed', 'cancelled', 'expired'].includes(status.upload.state)) {
      return () => false;
    }
    if (status.complete) return () => true;
    const missing = new Uint8Array(count + 1);
    for (const [first, last] of status.upload.missing_chunks) missing.fill(1, first, last + 1);
    return (number) => !missing[number];
  }

  /** A chunk with a finished request behind it is one that flow.js never sends. */
  function markPresent(chunk, message) {
    chunk.preprocessState = 2;
    chunk.xhr = { readyState: 4, status: 200, responseText: message, abort() {} };
  }

  /**
   * Path, size, last modification and a salt of this browser, hashed. flow.js wants the answer at
   * once, so this is no cryptographic hash: it tells files apart, it keeps no secret.
   */
  function uniqueIdentifier(file) {
    const path = file.relativePath || file.webkitRelativePath || file.fileName || file.name;
    const text = JSON.stringify([path, file.size, file.lastModified, salt()]);
    const bytes = new TextEncoder().encode(text);
    const words = [0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35].map((seed) => {
      let hash = seed;
      for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
      hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
      hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
      return ((hash ^ (hash >>> 16)) >>> 0).toString(16).padStart(8, '0');
    });
    return `${file.size}-${words.join('')}`;
  }

  let ownSalt = null;
  function salt() {
    try {
      ownSalt ??= localStorage.getItem(SALT_KEY);
      if (!ownSalt) {
        ownSalt = newSalt();
        localStorage.setItem(SALT_KEY, ownSalt);
      }
    } catch {
      // Without storage the files of this visit still stay apart; a reload begins them anew.
      ownSalt ??= newSalt();
    }
    return ownSalt;
  }

  function newSalt() {
    return Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('');
  }

  const options = {
    maxChunkRetries: 30,
    chunkRetryInterval: 2000,
    permanentErrors: [400, 401, 403, 404, 409, 413, 415, 422, 500, 501],
    generateUniqueIdentifier: uniqueIdentifier,
  };

  globalThis.FlowResume = { resume, attach, uniqueIdentifier, options };
})();

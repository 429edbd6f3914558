/**
 * The upload engine: many files, few requests at a time. It speaks flow.js's wire format, asks the
 * server once per file what it has, and sends only what is missing.
 *
 *     const uploader = createUploader();
 *     const upload = await uploader.add(file, { scheduledAt: '2026-12-01' });
 *     upload.addEventListener('change', () => console.log(upload.state, upload.sent));
 */

import { api } from './api.js';
import { retryDelay } from './backoff.js';
import { contentDigest, textHash } from './digest.js';
import { follow } from './follow.js';
import { planOf } from './geometry.js';
import { Memory } from './memory.js';
import { sendChunk } from './send.js';
import { session } from './session.js';
import { Upload } from './upload.js';
import { patientWait } from './wait.js';

export const DEFAULTS = {
  target: '/upload',
  /** Bytes. Part of what identifies an upload: files begun with another size begin anew. */
  chunkSize: 1024 * 1024,
  /** Requests at a time, over all files: as many as flow.js sends. */
  simultaneous: 3,
};

/** An uploader that talks to the server this page came from. */
export function createUploader(options = {}) {
  const settings = { ...DEFAULTS, ...options };
  return new Uploader({
    ...settings,
    memory: options.memory ?? new Memory(),
    services: {
      api,
      digest: contentDigest,
      send: (chunk) => sendChunk({ target: settings.target, ...chunk }),
      follow: (id, signal, settled) => {
        // An EventSource carries no token: then the status is asked for now and then.
        const EventSource = session.signedIn ? null : globalThis.EventSource;
        return follow(id, { api, signal, settled, EventSource });
      },
      retryDelay,
      wait: patientWait,
    },
  });
}

export class Uploader {
  uploads = [];

  #services;
  #memory;
  #chunkSize;
  #simultaneous;
  #inFlight = 0;
  #pumpDue = false;
  /** The uploads that the memory holds already: it is not written again for every chunk. */
  #noted = new WeakSet();

  constructor({ services, memory, chunkSize, simultaneous }) {
    this.#services = services;
    this.#memory = memory;
    this.#chunkSize = chunkSize;
    this.#simultaneous = simultaneous;
  }

  /**
   * Takes a file in and starts it. Resolves with its upload: the one that is in the list already
   * when the same file is chosen twice, which goes on if it had stopped.
   */
  async add(file, { scheduledAt, path = file.webkitRelativePath || file.name }) {
    const identifier = await this.identifierOf(file, path);
    const same = this.uploads.find(
      (one) => one.identifier === identifier && one.state !== 'complete',
    );
    if (same) {
      // The new handle can be read even where the old one no longer can.
      same.file = file;
      same.start();
      return same;
    }
    const upload = new Upload(file, {
      path,
      identifier,
      scheduledAt,
      plan: planOf(file.size, this.#chunkSize),
      services: this.#services,
    });
    upload.addEventListener('change', () => this.#changed(upload));
    this.uploads.push(upload);
    this.#pumpSoon();
    return upload;
  }

  /** What makes a file the same file, now and after a reload. */
  identifierOf(file, path) {
    return textHash(JSON.stringify([path, file.size, file.lastModified, this.#memory.salt()]));
  }

  /** Takes an upload that has ended out of the list. */
  remove(upload) {
    this.uploads = this.uploads.filter((one) => one !== upload);
  }

  /** The network is back: whoever waits tries again now. */
  wake() {
    for (const upload of this.uploads) upload.wake();
  }

  /**
   * Whoever was refused for lack of credentials goes on with those that are here now. What runs
   * asks anew what is there: what was sent before may be another's, as the public's is.
   */
  signedIn() {
    for (const upload of this.uploads) {
      const refused = upload.state === 'failed' && upload.error?.status === 401;
      const sending = upload.running && !upload.finishing;
      if (sending) upload.pause();
      if (refused || sending) upload.start();
    }
  }

  #changed(upload) {
    this.#note(upload);
    this.#pumpSoon();
  }

  /** Keeps the list of unfinished uploads true. A file of one chunk is never half sent. */
  #note(upload) {
    const { identifier, id, path, size, scheduledAt } = upload;
    const over = upload.state === 'complete' || upload.state === 'cancelled';
    if (over) {
      this.#noted.delete(upload);
      this.#memory.forget(identifier);
    } else if (id && !this.#noted.has(upload) && upload.plan.totalChunks > 1) {
      this.#noted.add(upload);
      this.#memory.remember({ identifier, id, path, size, scheduledAt });
    }
  }

  /** Once per turn, however many changes there were, and never from inside an upload's change. */
  #pumpSoon() {
    if (this.#pumpDue) return;
    this.#pumpDue = true;
    queueMicrotask(() => {
      this.#pumpDue = false;
      this.#pump();
    });
  }

  /** Fills the free places, the first file first: one finished file is worth two half ones. */
  #pump() {
    for (const upload of this.uploads) {
      while (this.#inFlight < this.#simultaneous) {
        const task = upload.next();
        if (!task) break;
        this.#inFlight += 1;
        task().finally(() => {
          this.#inFlight -= 1;
          this.#pumpSoon();
        });
      }
      if (this.#inFlight >= this.#simultaneous) return;
    }
  }
}

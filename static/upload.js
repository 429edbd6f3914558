/**
 * One file on its way in: what the server has of it, what is missing, and what happens next.
 *
 * The way of a file: queued → checking (one lookup) → uploading (missing chunks) → finishing (the
 * server stitches) → complete. Beside it: waiting (a failure that passes), paused, failed,
 * cancelling and cancelled. Only a status body that says `complete: true` makes it complete.
 *
 * This module knows no DOM and opens no connection: `services` does, so that it can be tested.
 */

import { isTransient } from './backoff.js';
import { chunkRange } from './geometry.js';
import { Ledger } from './ledger.js';

const MOST_FAILURES_IN_A_ROW = 12;
const RUNNING = new Set(['queued', 'checking', 'uploading', 'waiting', 'finishing']);
const STARTABLE = new Set(['paused', 'failed', 'cancelled']);
/** Server states after which the same file has to begin anew. */
const OVER = new Set(['failed', 'cancelled', 'expired']);

export class Upload extends EventTarget {
  state = 'queued';
  id = null;
  creative = null;
  /** The last failure: a RequestError or an Error, for people to read. */
  error = null;
  /** While waiting: when the next attempt is made (milliseconds since 1970). */
  retryAt = 0;
  scheduledAt;

  #services;
  #ledger;
  #failures = 0;
  #round = 0;
  #timer = null;
  #abort = new AbortController();
  /** The day the server was first told. See `#day`. */
  #toldDay = null;
  #reached = false;

  constructor(file, { path, identifier, scheduledAt, plan, services }) {
    super();
    this.file = file;
    this.path = path;
    this.identifier = identifier;
    this.scheduledAt = scheduledAt;
    this.plan = plan;
    this.#ledger = new Ledger(plan);
    this.#services = services;
  }

  get size() {
    return this.file.size;
  }

  /** Bytes that are there or have left this machine. */
  get sent() {
    return this.state === 'complete' ? this.size : this.#ledger.sent;
  }

  get running() {
    return RUNNING.has(this.state);
  }

  get startable() {
    return STARTABLE.has(this.state);
  }

  /** All bytes have left; what remains is the server's answer. */
  get finishing() {
    return this.state === 'finishing' || (this.state === 'uploading' && this.#ledger.allSent);
  }

  /** The next request worth sending now, as a function that sends it, or null. Never rejects. */
  next() {
    if (this.state === 'queued') {
      this.#enter('checking');
      return () => this.#check(this.#abort.signal);
    }
    if (this.state !== 'uploading') return null;
    const number = this.#ledger.take();
    return number === undefined ? null : () => this.#send(number, this.#abort.signal);
  }

  /** Begins, goes on after a pause, or tries again: the server is asked first what it has. */
  start() {
    if (!this.startable) return;
    this.#failures = 0;
    this.#enter('queued');
  }

  pause() {
    if (!this.running) return;
    this.#stop();
    this.#enter('paused');
  }

  /** Stops for good, here and on the server. */
  async cancel() {
    if (!this.running && !this.startable) return;
    this.#stop();
    this.#enter('cancelling');
    try {
      // A first chunk may have arrived although its answer was never seen.
      const unseen = !this.id && this.#reached;
      const id = unseen ? (await this.#services.api.lookup(this.#fields()))?.upload.id : this.id;
      if (id) await this.#services.api.cancelUpload(id);
    } catch (error) {
      this.error = error;
    }
    this.id = null;
    this.#toldDay = null;
    this.#reached = false;
    this.#ledger = new Ledger(this.plan);
    this.#enter('cancelled');
  }

  /** The day changes for the requests to come, or on the creative if there is one already. */
  async schedule(day) {
    this.scheduledAt = day;
    this.#emit();
    if (this.creative) await this.#moveCreative();
  }

  /** Ends a wait at once: the network is back. */
  wake() {
    if (this.state === 'waiting') this.#timer?.fire();
  }

  /**
   * The day on the wire stays what was sent first: once an upload is complete, another
   * day would mean another upload, and this browser cannot know whether the answer that said
   * "complete" was the one that got lost. A later wish is applied to the creative.
   */
  #day() {
    return this.#toldDay ?? this.scheduledAt;
  }

  #fields() {
    return {
      flowChunkSize: this.plan.chunkSize,
      flowTotalSize: this.plan.totalSize,
      flowIdentifier: this.identifier,
      flowFilename: this.file.name,
      flowRelativePath: this.path,
      flowTotalChunks: this.plan.totalChunks,
      scheduled_at: this.#day(),
    };
  }

  async #check(signal) {
    const round = this.#round;
    try {
      const status = await this.#services.api.lookup(this.#fields(), signal);
      if (signal.aborted) return;
      const known = status && this.#isMine(status);
      this.id = null;
      this.#ledger.begin(known ? status.upload.missing_chunks : undefined);
      this.#enter('uploading');
      if (known) this.#learn(status);
      this.#settle();
    } catch (error) {
      this.#failed(error, { signal, round, goOnAs: 'queued' });
    }
  }

  /**
   * Whether a lookup's answer speaks of this upload. Not if that one is over, nor if it ended as a
   * creative of another day: then the file is wanted on both days.
   */
  #isMine({ upload, creative }) {
    const otherDay = creative && creative.scheduled_at !== this.#day();
    return !OVER.has(upload.state) && !otherDay;
  }

  async #send(number, signal) {
    const round = this.#round;
    try {
      const { start, end } = chunkRange(this.plan, number);
      // Read once: what was hashed is what is sent, even if the file changes underneath.
      const bytes = await this.#read(start, end);
      const digest = await this.#services.digest(bytes);
      if (signal.aborted) return;
      this.#reached = true;
      this.#toldDay ??= this.scheduledAt;
      const status = await this.#services.send({
        fields: {
          flowChunkNumber: number,
          flowCurrentChunkSize: end - start,
          ...this.#fields(),
        },
        blob: new Blob([bytes], { type: this.file.type }),
        digest,
        signal,
        onProgress: (share) => {
          this.#ledger.progress(number, share);
          this.#emit();
        },
      });
      if (signal.aborted) return;
      this.#ledger.arrived(number);
      this.#failures = 0;
      this.#learn(status);
      this.#settle();
    } catch (error) {
      if (signal.aborted) return;
      this.#ledger.lost(number);
      this.#failed(error, { signal, round, goOnAs: 'uploading' });
    }
  }

  async #read(start, end) {
    try {
      return await this.file.slice(start, end).arrayBuffer();
    } catch {
      throw new Error('The file cannot be read any more. Choose it again.');
    }
  }

  /** Takes what a status body says. Answers overtake each other, so only facts that last count. */
  #learn(status) {
    this.id = status.upload.id;
    this.error = null;
    if (status.complete) {
      this.creative = status.creative;
      this.#stop();
      this.#enter('complete');
      if (this.creative && this.creative.scheduled_at !== this.scheduledAt) this.#moveCreative();
    } else if (OVER.has(status.upload.state)) {
      this.#fail(new Error(reasonOf(status.upload)));
    }
  }

  /** When nothing is left to send and nothing is in flight, only the server can say how it ends. */
  #settle() {
    if (this.state === 'uploading' && this.#ledger.idle) this.#finish(this.#abort.signal);
    else this.#emit();
  }

  async #finish(signal) {
    const round = this.#round;
    this.#enter('finishing');
    try {
      await this.#services.follow(this.id, signal, (status) => {
        if (status) this.#learn(status);
        // Receiving again: the server lost chunks in a crash, so it has to be asked which.
        return !status || !['stitching', 'quarantined'].includes(status.upload.state);
      });
      if (this.state !== 'finishing') return;
      throw new Error('The server is missing chunks it once had.');
    } catch (error) {
      const lost = !('status' in error);
      const transient = lost || isTransient(error.status, error.code);
      this.#failed(error, { signal, round, goOnAs: 'queued', transient });
    }
  }

  #failed(error, { signal, round, goOnAs, transient = isTransient(error.status, error.code) }) {
    if (signal.aborted) return;
    if (!transient) {
      // A refused day can be chosen anew; nothing was stored under it.
      if (error.code === 'invalid_scheduled_at') this.#toldDay = null;
      this.#fail(error);
      return;
    }
    // Chunks that fail together are one failure, and one wait.
    if (round !== this.#round) return;
    this.#round += 1;
    this.#failures += 1;
    if (this.#failures > MOST_FAILURES_IN_A_ROW) {
      this.#fail(error);
      return;
    }
    this.error = error;
    const delay = this.#services.retryDelay(this.#failures, error.retryAfterMs);
    this.retryAt = Date.now() + delay;
    this.#timer = this.#services.wait(delay, error, () => {
      this.#timer = null;
      this.#enter(goOnAs);
      this.#settle();
    });
    this.#enter('waiting');
  }

  #fail(error) {
    this.#stop();
    this.error = error;
    this.#enter('failed');
  }

  #stop() {
    this.#abort.abort(new Error('stopped'));
    this.#abort = new AbortController();
    this.#timer?.cancel();
    this.#timer = null;
    this.#ledger.halt();
    this.#round += 1;
  }

  async #moveCreative() {
    try {
      this.creative = await this.#services.api.reschedule(this.creative.id, this.scheduledAt);
      this.error = null;
    } catch (error) {
      this.error = error;
      this.scheduledAt = this.creative.scheduled_at;
    }
    this.dispatchEvent(new Event('moved'));
    this.#emit();
  }

  #enter(state) {
    this.state = state;
    this.#emit();
  }

  #emit() {
    this.dispatchEvent(new Event('change'));
  }
}

function reasonOf({ state, error }) {
  if (error) return error.detail ?? error.message ?? String(error);
  if (state === 'failed') return 'The server could not finish this file. Try again.';
  return state === 'expired'
    ? 'The server gave this upload up after a long silence. Try again.'
    : 'This upload was cancelled elsewhere.';
}

/** Which chunks of a file are missing, on their way, and there. */

import { chunkLength, missingChunks, receivedBytes } from './geometry.js';

export class Ledger {
  #plan;
  /** The chunks to send, the next one last: taking it is cheap however many there are. */
  #pending = [];
  /** The chunks on their way, each with the share of it that has left this machine. */
  #sending = new Map();
  #received = 0;

  constructor(plan) {
    this.#plan = plan;
  }

  /** Starts from what the server says: `pairs` of missing chunks, or none: all are missing. */
  begin(pairs) {
    this.#sending.clear();
    this.#pending = missingChunks(this.#plan, pairs).reverse();
    this.#received = receivedBytes(this.#plan, this.#pending);
  }

  /** Nothing is under way any more, and nothing is to be sent; what is there is still there. */
  halt() {
    this.#sending.clear();
    this.#pending = [];
  }

  /** The next chunk to send, or undefined. */
  take() {
    const number = this.#pending.pop();
    if (number !== undefined) this.#sending.set(number, 0);
    return number;
  }

  progress(number, share) {
    if (this.#sending.has(number)) this.#sending.set(number, share);
  }

  arrived(number) {
    this.#sending.delete(number);
    this.#received += chunkLength(this.#plan, number);
  }

  /** The chunk did not arrive: it is the next to be sent. */
  lost(number) {
    this.#sending.delete(number);
    this.#pending.push(number);
  }

  /** Bytes that are there or have left this machine. */
  get sent() {
    let bytes = this.#received;
    for (const [number, share] of this.#sending) bytes += share * chunkLength(this.#plan, number);
    return Math.round(bytes);
  }

  /** Nothing is left to send, and nothing is on its way. */
  get idle() {
    return !this.#pending.length && !this.#sending.size;
  }

  /** All bytes have left; only answers are missing. */
  get allSent() {
    return !this.#pending.length && this.sent >= this.#plan.totalSize;
  }
}

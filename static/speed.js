/** How fast an upload goes, over the last few seconds: steady enough to read, quick to follow. */

const WINDOW_MS = 6_000;

export class SpeedMeter {
  #samples = [];

  /** Forgets the past: after a pause the old speed says nothing. */
  reset() {
    this.#samples = [];
  }

  /** Notes that `bytes` of the file had been sent at `now` (milliseconds). */
  note(bytes, now) {
    const samples = this.#samples;
    const last = samples.at(-1);
    // A chunk that failed is taken back; what was measured with it is void.
    if (last && bytes < last.bytes) samples.length = 0;
    samples.push({ bytes, now });
    while (samples.length > 2 && now - samples[1].now > WINDOW_MS) samples.shift();
  }

  /** Bytes per second, 0 while there is too little to tell. */
  perSecond() {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || last.now - first.now < 250) return 0;
    return ((last.bytes - first.bytes) / (last.now - first.now)) * 1000;
  }
}

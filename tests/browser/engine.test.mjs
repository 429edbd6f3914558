/** The upload engine against a server that does exactly what each test says. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RequestError } from '../../static/api.js';
import { Memory } from '../../static/memory.js';
import { Uploader } from '../../static/uploader.js';

const CHUNK = 10;
const DAY = '2026-12-01';

/** Holds every chunk until the test answers it. */
class Bench {
  sent = [];
  lookups = [];
  cancelled = [];
  moved = [];
  waits = [];
  /** What the next lookup answers. */
  status = null;
  follows = [];

  constructor({ simultaneous = 3 } = {}) {
    this.memory = new Memory(null);
    this.uploader = new Uploader({
      chunkSize: CHUNK,
      simultaneous,
      memory: this.memory,
      services: {
        api: {
          lookup: async (fields) => {
            this.lookups.push(fields);
            if (this.status instanceof Error) throw this.status;
            return this.status;
          },
          cancelUpload: async (id) => this.cancelled.push(id),
          reschedule: async (id, day) => {
            this.moved.push([id, day]);
            return { id, scheduled_at: day };
          },
        },
        digest: async () => 'digest',
        send: (chunk) => this.#send(chunk),
        follow: (id, signal, settled) =>
          new Promise((resolve, reject) => this.follows.push({ id, settled, resolve, reject })),
        retryDelay: (failures, retryAfterMs) => failures * 1000 + retryAfterMs,
        wait: (delay, error, done) => {
          const wait = { delay, error, cancelled: false, done };
          this.waits.push(wait);
          return { fire: done, cancel: () => (wait.cancelled = true) };
        },
      },
    });
  }

  #send(chunk) {
    return new Promise((resolve, reject) => {
      const { fields, signal } = chunk;
      const entry = { ...chunk, number: fields.flowChunkNumber, open: true };
      entry.answer = (status) => {
        entry.open = false;
        resolve(status);
      };
      entry.fail = (status, more = {}) => {
        entry.open = false;
        reject(new RequestError(status, { message: `error ${status}`, ...more }));
      };
      signal.onabort = () => this.#aborted(signal);
      entry.abort = () => {
        entry.open = false;
        entry.aborted = true;
        reject(signal.reason);
      };
      this.sent.push(entry);
    });
  }

  #aborted(signal) {
    for (const entry of this.open) if (entry.signal === signal) entry.abort();
  }

  async add(size, name = 'a.bin', more = {}) {
    const upload = await this.uploader.add(fileOf(size, name), { scheduledAt: DAY, ...more });
    await settled();
    return upload;
  }

  get open() {
    return this.sent.filter((one) => one.open);
  }

  numbers() {
    return this.open.map((one) => one.number);
  }
}

/** A file that is read without a thread, so that nothing here depends on one. */
function fileOf(size, name) {
  const slice = (start, end) => ({ arrayBuffer: async () => new ArrayBuffer(end - start) });
  return { name, size, slice, type: 'image/png', lastModified: 1 };
}

/** Lets everything happen that does not wait for the test: it is all promises by then. */
function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}

function receiving(missing = []) {
  return {
    upload: { id: 'u1', state: 'receiving', missing_chunks: missing },
    complete: false,
    creative: null,
  };
}

const stitching = {
  upload: { id: 'u1', state: 'stitching', missing_chunks: [] },
  complete: false,
  creative: null,
};

function complete(day = DAY) {
  return {
    upload: { id: 'u1', state: 'complete', missing_chunks: [] },
    complete: true,
    creative: { id: 'c1', scheduled_at: day },
  };
}

test('a new file: one lookup, every chunk, done when the server says complete', async () => {
  const bench = new Bench();
  const upload = await bench.add(45);
  assert.equal(bench.lookups.length, 1);
  assert.deepEqual(bench.numbers(), [1, 2, 3]);
  const { fields, blob, digest } = bench.sent[0];
  assert.deepEqual(Object.keys(fields), [
    'flowChunkNumber',
    'flowCurrentChunkSize',
    'flowChunkSize',
    'flowTotalSize',
    'flowIdentifier',
    'flowFilename',
    'flowRelativePath',
    'flowTotalChunks',
    'scheduled_at',
  ]);
  assert.deepEqual([fields.flowTotalChunks, fields.scheduled_at], [4, DAY]);
  assert.deepEqual([blob.size, blob.type, digest], [10, 'image/png', 'digest']);

  bench.sent[0].answer(receiving());
  await settled();
  assert.deepEqual(bench.numbers(), [2, 3, 4]);
  assert.equal(bench.sent[3].blob.size, 15, 'the last chunk takes the remainder');
  bench.sent[3].answer(receiving());
  bench.sent[2].answer(receiving());
  await settled();
  assert.equal(upload.state, 'uploading');
  bench.sent[1].answer(complete());
  await settled();
  assert.equal(upload.state, 'complete');
  assert.equal(upload.creative.id, 'c1');
  assert.deepEqual(bench.moved, []);
});

test('only what is missing is sent', async () => {
  const bench = new Bench();
  bench.status = receiving([
    [2, 2],
    [5, 5],
  ]);
  const upload = await bench.add(50);
  assert.deepEqual(bench.numbers(), [2, 5]);
  assert.equal(upload.sent, 30);
  bench.sent[0].onProgress(0.5);
  assert.equal(upload.sent, 35);
});

test('three requests at a time over all files, the first file first', async () => {
  const bench = new Bench();
  await bench.add(20, 'a');
  await bench.add(20, 'b');
  await bench.add(20, 'c');
  const open = () => bench.open.map((one) => one.fields.flowFilename + one.number);
  assert.deepEqual(open(), ['a1', 'a2', 'b1']);
  assert.equal(bench.lookups.length, 2, 'a file is asked about when its turn comes');
  bench.sent[0].answer(receiving());
  await settled();
  assert.deepEqual(open(), ['a2', 'b1', 'b2']);
});

test('a file of no bytes is one empty chunk', async () => {
  const bench = new Bench();
  const upload = await bench.add(0);
  assert.equal(bench.sent[0].blob.size, 0);
  bench.sent[0].answer(complete());
  await settled();
  assert.equal(upload.state, 'complete');
});

test('a file that is there already is not sent', async () => {
  const bench = new Bench();
  bench.status = complete();
  const upload = await bench.add(50);
  assert.equal(upload.state, 'complete');
  assert.equal(bench.sent.length, 0);
});

test('a file that ended for another day is sent again for this one', async () => {
  const bench = new Bench();
  bench.status = complete('2026-12-02');
  const upload = await bench.add(20);
  assert.equal(upload.state, 'uploading');
  assert.deepEqual(bench.numbers(), [1, 2]);
  assert.deepEqual(bench.moved, []);
});

test('stitching is not complete: it is followed to the end', async () => {
  const bench = new Bench();
  const upload = await bench.add(10);
  bench.sent[0].answer(stitching);
  await settled();
  assert.equal(upload.state, 'finishing');
  const [{ id, settled: ended, resolve }] = bench.follows;
  assert.equal(id, 'u1');
  assert.equal(ended(stitching), false);
  assert.equal(ended(complete()), true);
  resolve();
  await settled();
  assert.equal(upload.state, 'complete');
});

test('a server that lost chunks is asked again', async () => {
  const bench = new Bench();
  const upload = await bench.add(20);
  for (const chunk of bench.open) chunk.answer(receiving());
  await settled();
  const [{ settled: ended, resolve }] = bench.follows;
  assert.equal(ended(receiving([[2, 2]])), true);
  resolve();
  await settled();
  assert.equal(upload.state, 'waiting');
  bench.status = receiving([[2, 2]]);
  bench.waits[0].done();
  await settled();
  assert.deepEqual(bench.numbers(), [2]);
});

test('chunks that fail together wait once, and are sent again', async () => {
  const bench = new Bench();
  const upload = await bench.add(50);
  for (const chunk of bench.open) chunk.fail(503, { retryAfterMs: 7000 });
  await settled();
  assert.equal(upload.state, 'waiting');
  assert.deepEqual(
    bench.waits.map((wait) => wait.delay),
    [8000],
  );
  assert.equal(bench.open.length, 0, 'nothing is sent while waiting');
  bench.waits[0].done();
  await settled();
  assert.deepEqual(bench.numbers().sort(), [1, 2, 3]);
  assert.equal(bench.lookups.length, 1);

  bench.open[0].fail(0);
  await settled();
  assert.equal(bench.waits[1].delay, 2000, 'the second failure in a row waits longer');
  upload.wake();
  await settled();
  assert.equal(bench.open.length, 3);
  bench.open[0].answer(receiving());
  await settled();
  bench.open.at(-1).fail(400, { code: 'checksum_mismatch' });
  await settled();
  assert.equal(bench.waits[2].delay, 1000, 'a success begins the count anew');
});

test('a server that never recovers is given up, and retried on request', async () => {
  const bench = new Bench();
  const upload = await bench.add(10);
  while (upload.state !== 'failed') {
    bench.open[0].fail(502);
    await settled();
    if (upload.state === 'waiting') bench.waits.at(-1).done();
    await settled();
  }
  assert.equal(bench.waits.length, 12);
  upload.start();
  await settled();
  assert.equal(bench.lookups.length, 2);
  assert.deepEqual(bench.numbers(), [1]);
});

test('a refusal ends the file at once, and only that file', async () => {
  const bench = new Bench();
  const first = await bench.add(20, 'a');
  const second = await bench.add(20, 'b');
  bench.sent[0].fail(415);
  await settled();
  assert.equal(first.state, 'failed');
  assert.equal(first.error.message, 'error 415');
  assert.ok(bench.sent[1].aborted);
  assert.equal(second.state, 'uploading');
  assert.deepEqual(
    bench.open.map((one) => one.fields.flowFilename),
    ['b', 'b'],
  );
});

test('a failed lookup is tried again, a refused one is not', async () => {
  const bench = new Bench();
  bench.status = new RequestError(503, { message: 'busy' });
  const upload = await bench.add(10);
  assert.equal(upload.state, 'waiting');
  bench.status = new RequestError(401, { message: 'Sign in.' });
  bench.waits[0].done();
  await settled();
  assert.equal(upload.state, 'failed');
  assert.equal(upload.error.message, 'Sign in.');
});

test('pause aborts, and resume asks what is missing', async () => {
  const bench = new Bench();
  const upload = await bench.add(50);
  bench.sent[0].answer(receiving());
  await settled();
  upload.pause();
  await settled();
  assert.equal(bench.open.length, 0);
  assert.equal(upload.state, 'paused');
  assert.equal(upload.sent, 10);
  bench.status = receiving([[3, 5]]);
  upload.start();
  await settled();
  assert.deepEqual(bench.numbers(), [3, 4, 5]);
});

test('cancel ends the requests and the timers, and tells the server', async () => {
  const bench = new Bench();
  const upload = await bench.add(50);
  bench.sent[0].answer(receiving());
  await settled();
  bench.open[0].fail(503);
  await settled();
  await upload.cancel();
  assert.equal(upload.state, 'cancelled');
  assert.ok(bench.waits[0].cancelled);
  assert.equal(bench.open.length, 0);
  assert.deepEqual(bench.cancelled, ['u1']);
  const sent = bench.sent.length;
  await settled();
  assert.equal(bench.sent.length, sent);
});

test('cancel finds an upload whose first answer never came', async () => {
  const bench = new Bench();
  const upload = await bench.add(10);
  bench.status = receiving();
  await upload.cancel();
  assert.deepEqual(bench.cancelled, ['u1']);
  assert.equal(bench.lookups.length, 2);
});

test('a day chosen in mid-upload is applied to the creative, not to the wire', async () => {
  const bench = new Bench();
  const upload = await bench.add(20);
  upload.schedule('2026-12-24');
  bench.sent[0].fail(0);
  await settled();
  bench.waits[0].done();
  await settled();
  assert.deepEqual(
    bench.sent.map((one) => one.fields.scheduled_at),
    [DAY, DAY, DAY],
  );
  for (const chunk of bench.open) chunk.answer(complete());
  await settled();
  assert.equal(upload.state, 'complete');
  assert.deepEqual(bench.moved, [['c1', '2026-12-24']]);
  await upload.schedule('2026-12-25');
  assert.deepEqual(bench.moved.at(-1), ['c1', '2026-12-25']);
});

test('a refused day can be replaced', async () => {
  const bench = new Bench();
  const upload = await bench.add(10, 'a', { scheduledAt: '2001-01-01' });
  bench.sent[0].fail(400, { code: 'invalid_scheduled_at' });
  await settled();
  assert.equal(upload.state, 'failed');
  upload.schedule(DAY);
  upload.start();
  await settled();
  assert.equal(bench.open[0].fields.scheduled_at, DAY);
});

test('a file that cannot be read any more says so', async () => {
  const bench = new Bench();
  const file = {
    name: 'gone.bin',
    size: 10,
    lastModified: 1,
    type: '',
    slice: () => ({ arrayBuffer: () => Promise.reject(new Error('NotReadableError')) }),
  };
  const upload = await bench.uploader.add(file, { scheduledAt: DAY });
  await settled();
  assert.equal(upload.state, 'failed');
  assert.match(upload.error.message, /cannot be read/);
});

test('the same file chosen twice is one upload; another date or path is another', async () => {
  const bench = new Bench();
  const first = await bench.add(10, 'a');
  first.pause();
  const again = await bench.add(10, 'a');
  assert.equal(again, first);
  assert.ok(first.running, 'choosing it again goes on with it');
  const other = await bench.add(10, 'a', { path: 'folder/a' });
  assert.notEqual(other.identifier, first.identifier);
});

test('what is unfinished is remembered until it ends', async () => {
  const kept = new Map();
  const bench = new Bench();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
  };
  const memory = new Memory(storage);
  bench.memory.remember = (entry) => memory.remember(entry);
  bench.memory.forget = (identifier) => memory.forget(identifier);
  const upload = await bench.add(20);
  assert.deepEqual(memory.unfinished(), []);
  bench.sent[0].answer(receiving());
  await settled();
  assert.deepEqual(memory.unfinished(), [
    { identifier: upload.identifier, id: 'u1', path: 'a.bin', size: 20, scheduledAt: DAY },
  ]);
  bench.sent[1].answer(complete());
  await settled();
  assert.deepEqual(memory.unfinished(), []);
});

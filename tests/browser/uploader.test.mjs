/** The page's uploader without a page: how files are cut, when to try again, and the engine. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { errorOf, parseJson } from '../../static/api.js';
import { isTransient, parseRetryAfter, retryDelay } from '../../static/backoff.js';
import { contentDigest, plainHash, textHash } from '../../static/digest.js';
import { follow } from '../../static/follow.js';
import { formatBytes, formatDuration, formatPercent } from '../../static/format.js';
import {
  chunkLength,
  chunkRange,
  missingChunks,
  planOf,
  receivedBytes,
} from '../../static/geometry.js';
import { Memory } from '../../static/memory.js';
import { SpeedMeter } from '../../static/speed.js';

const MIB = 1024 * 1024;

test('a file is cut as flow.js cuts it', () => {
  const table = [
    [0, 1, 0],
    [1, 1, 1],
    [MIB, 1, MIB],
    [MIB + 1, 1, MIB + 1],
    [2 * MIB - 1, 1, 2 * MIB - 1],
    [2 * MIB, 2, MIB],
    [2.5 * MIB, 2, 1.5 * MIB],
    [10 * 1024 * MIB, 10_240, MIB],
  ];
  for (const [size, count, last] of table) {
    const plan = planOf(size, MIB);
    assert.equal(plan.totalChunks, count, `${size} bytes`);
    assert.equal(chunkLength(plan, count), last, `${size} bytes`);
  }
});

test('chunks tile the file exactly, whatever the sizes', () => {
  for (let size = 0; size <= 60; size += 1) {
    for (let chunkSize = 1; chunkSize <= 20; chunkSize += 1) {
      const plan = planOf(size, chunkSize);
      let end = 0;
      for (let number = 1; number <= plan.totalChunks; number += 1) {
        const range = chunkRange(plan, number);
        assert.equal(range.start, end);
        assert.equal(range.start, (number - 1) * chunkSize);
        end = range.end;
      }
      assert.equal(end, size);
    }
  }
});

test('missing chunks come from inclusive pairs', () => {
  const plan = planOf(10 * MIB + 5, MIB);
  assert.deepEqual(
    missingChunks(plan, [
      [2, 4],
      [10, 10],
    ]),
    [2, 3, 4, 10],
  );
  assert.deepEqual(missingChunks(plan, []), []);
  assert.deepEqual(missingChunks(plan), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(missingChunks(plan, [[9, 99]]), [9, 10], 'never beyond the file');
  assert.equal(receivedBytes(plan, [10]), 9 * MIB);
  assert.equal(receivedBytes(plan, []), 10 * MIB + 5);
  assert.equal(receivedBytes(plan, missingChunks(plan)), 0);
});

test('back-off doubles, has a limit and jitter, and honours Retry-After', () => {
  const most = [1, 2, 3, 4].map((failures) => retryDelay(failures, 0, () => 1));
  assert.deepEqual(most, [500, 1000, 2000, 4000]);
  const least = [1, 2, 3, 4].map((failures) => retryDelay(failures, 0, () => 0));
  assert.deepEqual(least, [250, 500, 1000, 2000]);
  assert.equal(
    retryDelay(50, 0, () => 1),
    30_000,
  );
  assert.equal(
    retryDelay(1, 7000, () => 0),
    7000,
  );
  assert.equal(
    retryDelay(20, 7000, () => 1),
    30_000,
  );
});

test('Retry-After is seconds or a date', () => {
  const now = Date.parse('2026-12-01T12:00:00Z');
  assert.equal(parseRetryAfter('3', now), 3000);
  assert.equal(parseRetryAfter('Tue, 01 Dec 2026 12:00:05 GMT', now), 5000);
  assert.equal(parseRetryAfter('Tue, 01 Dec 2026 11:00:00 GMT', now), 0);
  for (const value of [null, '', 'soon']) assert.equal(parseRetryAfter(value, now), 0);
});

test('only what can pass by itself is tried again', () => {
  for (const status of [0, 502, 503, 504, 507]) assert.ok(isTransient(status, null), `${status}`);
  for (const status of [400, 401, 403, 409, 413, 415, 500]) {
    assert.ok(!isTransient(status, null), `${status}`);
  }
  assert.ok(isTransient(400, 'checksum_mismatch'));
  assert.ok(!isTransient(400, 'invalid_scheduled_at'));
});

test('digests: RFC 9530 for chunks, and hashes that tell texts apart', async () => {
  const bytes = new TextEncoder().encode('a chunk');
  const expected = createHash('sha256').update(bytes).digest('base64');
  assert.equal(await contentDigest(bytes), `sha-256=:${expected}:`);
  assert.equal(await textHash('文件'), createHash('sha256').update('文件').digest('hex'));

  const texts = ['', 'a', 'b', 'ab', 'ba', '文件', '图片', 'a'.repeat(10_000)];
  for (let index = 0; index < 10_000; index += 1) texts.push(`file-${index}`);
  const hashes = new Set(texts.map(plainHash));
  assert.equal(hashes.size, texts.length);
  for (const hash of hashes) assert.match(hash, /^[0-9a-f]{32}$/);
});

test('speed is measured over the last seconds and starts anew after a setback', () => {
  const meter = new SpeedMeter();
  meter.note(0, 0);
  assert.equal(meter.perSecond(), 0);
  for (let second = 1; second <= 20; second += 1) {
    meter.note(second < 10 ? second * 100 : 1000 + (second - 10) * 500, second * 1000);
  }
  assert.equal(meter.perSecond(), 500, 'the slow beginning is forgotten');
  meter.note(10, 21_000);
  assert.equal(meter.perSecond(), 0);
});

test('numbers read well', () => {
  const sizes = [0, 1, 999, 1000, 999_960, 41_943_057, 99_960_000, 2 ** 31];
  const shown = [
    '0 bytes',
    '1 byte',
    '999 bytes',
    '1.0 kB',
    '1.0 MB',
    '41.9 MB',
    '100 MB',
    '2.1 GB',
  ];
  assert.deepEqual(sizes.map(formatBytes), shown);
  const durations = [0, 31, 90, 3700, 200_000];
  const told = ['a few seconds', '35 s', 'about 2 min', 'about 1 h 2 min', 'about 2 days'];
  assert.deepEqual(durations.map(formatDuration), told);
  assert.equal(formatPercent(999, 1000), '99 %');
});

test('the memory keeps a salt and unfinished uploads, and survives a broken storage', () => {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
  };
  const memory = new Memory(storage);
  assert.equal(new Memory(storage).salt(), memory.salt());
  const entry = { identifier: 'a', id: '1', path: 'a.bin', size: 1, scheduledAt: '2026-12-01' };
  memory.remember(entry);
  memory.remember({ ...entry, identifier: 'b' });
  memory.remember({ ...entry, id: '2' });
  const list = new Memory(storage).unfinished();
  assert.deepEqual(
    list.map((one) => one.identifier + one.id),
    ['a2', 'b1'],
  );
  memory.forget('a');
  assert.deepEqual(
    memory.unfinished().map((one) => one.identifier),
    ['b'],
  );

  kept.set('flowstitch.unfinished', '{"not": "a list"}');
  assert.deepEqual(memory.unfinished(), []);
  const broken = new Memory({
    getItem() {
      throw new Error('refused');
    },
    setItem() {
      throw new Error('full');
    },
  });
  assert.equal(broken.salt(), broken.salt());
  broken.remember(entry);
  assert.deepEqual(broken.unfinished(), []);
});

test('an error of the server is read from its problem body', () => {
  const busy = errorOf(503, { title: 'Busy', detail: 'Try again.', code: 'unavailable' }, '2');
  const { status, code, message, retryAfterMs } = busy;
  assert.deepEqual([status, code, message, retryAfterMs], [503, 'unavailable', 'Try again.', 2000]);
  const page = errorOf(502, parseJson('<html>Bad gateway</html>'), null);
  assert.deepEqual([page.code, page.message], [null, 'The server answered 502.']);
});

test('following takes events as hints and the status as the truth', async () => {
  const states = ['stitching', 'stitching', 'complete'];
  const sources = [];
  class EventSource extends EventTarget {
    constructor(url) {
      super();
      this.url = url;
      sources.push(this);
    }
    close() {
      this.closed = true;
    }
  }
  const seen = [];
  await follow('id 1', {
    EventSource,
    signal: new AbortController().signal,
    api: {
      upload: async () => {
        // The event comes while the status is still on its way: it must not be missed.
        sources[0].dispatchEvent(new Event('message'));
        return { upload: { state: states[seen.length] } };
      },
    },
    settled: (status) => {
      seen.push(status.upload.state);
      return status.upload.state !== 'stitching';
    },
  });
  assert.deepEqual(seen, states);
  assert.equal(sources[0].url, '/uploads/id%201/events');
  assert.ok(sources[0].closed);

  const aborted = new AbortController();
  const following = follow('id', {
    EventSource: undefined,
    signal: aborted.signal,
    api: { upload: async () => ({ upload: { state: 'stitching' } }) },
    settled: () => {
      queueMicrotask(() => aborted.abort(new Error('stopped')));
      return false;
    },
  });
  await assert.rejects(following, /stopped/);
});

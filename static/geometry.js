/**
 * How a file is cut into chunks. The rule is flow.js's default: as many whole chunks as fit, and
 * the last one takes the remainder, so it may be almost twice as long as the others. The server
 * knows an upload by its sizes and its count, so the same file must always be cut the same way.
 */

/** The plan of a file: its size, the chunk size, and the number of chunks. */
export function planOf(totalSize, chunkSize) {
  const totalChunks = Math.max(Math.floor(totalSize / chunkSize), 1);
  return { totalSize, chunkSize, totalChunks };
}

/** Where chunk `number` (counted from 1) begins, and where it ends (exclusive). */
export function chunkRange(plan, number) {
  const start = (number - 1) * plan.chunkSize;
  const end = number === plan.totalChunks ? plan.totalSize : start + plan.chunkSize;
  return { start, end };
}

/** The length of chunk `number` in bytes. */
export function chunkLength(plan, number) {
  const { start, end } = chunkRange(plan, number);
  return end - start;
}

/**
 * The chunk numbers that a status body's `missing_chunks` (inclusive pairs) names, in order.
 * Without pairs nothing has arrived, so every chunk is missing.
 */
export function missingChunks(plan, pairs = [[1, plan.totalChunks]]) {
  const numbers = [];
  for (const [first, last] of pairs) {
    for (let number = Math.max(first, 1); number <= Math.min(last, plan.totalChunks); number += 1) {
      numbers.push(number);
    }
  }
  return numbers;
}

/** How many bytes are safely there when the chunks `missing` are not. */
export function receivedBytes(plan, missing) {
  return missing.reduce((left, number) => left - chunkLength(plan, number), plan.totalSize);
}

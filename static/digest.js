/**
 * Hashes. Browsers offer SHA-256 in secure contexts only (HTTPS and localhost); a server on a plain
 * `http://` address in an office network is served without it, so each user of a hash here can do
 * without.
 */

const subtle = globalThis.crypto?.subtle;

/** `Content-Digest` (RFC 9530) of `bytes`, or null where the browser cannot compute it. */
export async function contentDigest(bytes) {
  if (!subtle) return null;
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  return `sha-256=:${btoa(String.fromCharCode(...digest))}:`;
}

/** A hash of `text` in hexadecimal, good enough to tell one file from another. */
export async function textHash(text) {
  if (!subtle) return plainHash(text);
  const digest = new Uint8Array(await subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** 128 bits from four differently seeded passes of 32 bits. Not against attackers: against chance. */
export function plainHash(text) {
  const bytes = new TextEncoder().encode(text);
  return [0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35]
    .map((seed) => {
      let hash = seed;
      for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
      hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
      hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
      return ((hash ^ (hash >>> 16)) >>> 0).toString(16).padStart(8, '0');
    })
    .join('');
}

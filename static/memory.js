/**
 * What this browser remembers between visits: a salt, and which uploads it has not finished.
 * Everything works without it (private windows may refuse storage), only less well.
 */

const SALT_KEY = 'flowstitch.salt';
const UNFINISHED_KEY = 'flowstitch.unfinished';
const MOST_REMEMBERED = 50;

function storageOrNothing() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

export class Memory {
  #storage;
  #salt = null;

  constructor(storage = storageOrNothing()) {
    this.#storage = storage;
  }

  /**
   * A random word of this browser. It is part of every identifier, so that two people who upload
   * files of the same name and size never meet in one upload.
   */
  salt() {
    this.#salt ??= this.#read(SALT_KEY);
    if (typeof this.#salt !== 'string') {
      const words = crypto.getRandomValues(new Uint32Array(4));
      this.#salt = Array.from(words, (word) => word.toString(36)).join('');
      this.#write(SALT_KEY, this.#salt);
    }
    return this.#salt;
  }

  /** The unfinished uploads, newest first: `{identifier, id, path, size, scheduledAt}`. */
  unfinished() {
    const list = this.#read(UNFINISHED_KEY);
    return Array.isArray(list) ? list.filter((entry) => entry && entry.identifier && entry.id) : [];
  }

  remember(entry) {
    const others = this.unfinished().filter((other) => other.identifier !== entry.identifier);
    this.#write(UNFINISHED_KEY, [entry, ...others].slice(0, MOST_REMEMBERED));
  }

  forget(identifier) {
    const all = this.unfinished();
    const others = all.filter((entry) => entry.identifier !== identifier);
    if (others.length !== all.length) this.#write(UNFINISHED_KEY, others);
  }

  #read(key) {
    try {
      return JSON.parse(this.#storage?.getItem(key) ?? 'null');
    } catch {
      return null;
    }
  }

  #write(key, value) {
    try {
      this.#storage?.setItem(key, JSON.stringify(value));
    } catch {
      // A full or forbidden storage costs the hint after a reload, never the upload.
    }
  }
}

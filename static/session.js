/**
 * Who this page is to the server: a session, got for a code, or a token that its user pasted. It is
 * kept in memory and nowhere else, so that nothing of it is left on the machine; a reload forgets it.
 *
 * Events: `required` when the server wants to know who asks, `change` after signing in or out, and
 * when a session was renewed.
 */
class Session extends EventTarget {
  #token = null;
  #endsAt = null;
  #used = false;

  get signedIn() {
    return this.#token !== null;
  }

  /** When it ends, in milliseconds since 1970; null for a token, of which that is not known. */
  get endsAt() {
    return this.#endsAt;
  }

  /** Whether anything was sent with it since it was got or renewed. */
  get used() {
    return this.#used;
  }

  /** What a request has to carry. */
  get headers() {
    this.#used = true;
    return this.signedIn ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  /** Whether a token can be sent at all: a header takes visible ASCII. */
  static fits(token) {
    return /^[\x21-\x7e]+$/.test(token);
  }

  /** `seconds` is how long a session lasts. By our own clock, however wrong that is. */
  signIn(token, seconds = null) {
    this.#token = token;
    this.#endsAt = seconds === null ? null : Date.now() + seconds * 1000;
    this.#used = false;
    this.dispatchEvent(new Event('change'));
  }

  signOut() {
    this.#token = null;
    this.#endsAt = null;
    this.dispatchEvent(new Event('change'));
  }

  /** To be told the status of every answer: 401 means that what is held, if anything, is no good. */
  answered(status) {
    if (status === 401) this.dispatchEvent(new Event('required'));
  }
}

export const fitsHeader = Session.fits;
export const session = new Session();

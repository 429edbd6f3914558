/**
 * Who this page is to the server: a token that its user pasted. It is kept in memory and nowhere
 * else, so that nothing of it is left on the machine; a reload forgets it.
 *
 * Events: `required` when the server wants to know who asks, `change` after signing in or out.
 */
class Session extends EventTarget {
  #token = null;

  get signedIn() {
    return this.#token !== null;
  }

  /** What a request has to carry. */
  get headers() {
    return this.signedIn ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  /** Whether a token can be sent at all: a header takes visible ASCII. */
  static fits(token) {
    return /^[\x21-\x7e]+$/.test(token);
  }

  signIn(token) {
    this.#token = token;
    this.dispatchEvent(new Event('change'));
  }

  signOut() {
    this.#token = null;
    this.dispatchEvent(new Event('change'));
  }

  /** To be told the status of every answer: 401 means that what is held, if anything, is no good. */
  answered(status) {
    if (status === 401) this.dispatchEvent(new Event('required'));
  }
}

export const fitsHeader = Session.fits;
export const session = new Session();

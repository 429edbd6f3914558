/** A wait that the network's return ends early, and its loss prolongs. */

/**
 * Calls `done` after `delay` milliseconds. If no answer had come at all (`error.status` 0) and the
 * browser says that it is offline, the wait lasts until it is online again. `fire` ends it at once,
 * `cancel` for good.
 */
export function patientWait(delay, error, done) {
  let over = false;
  const end = (andThen) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    andThen();
  };
  const timer = setTimeout(() => {
    const offline = error.status === 0 && globalThis.navigator?.onLine === false;
    // Nothing to do here: `fire` comes with the browser's `online` event.
    if (!offline) end(done);
  }, delay);
  return { fire: () => end(done), cancel: () => end(() => {}) };
}

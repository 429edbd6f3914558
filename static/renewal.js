/** Renews a session in time, as long as the page is used: an idle one is left to end. */

/** Not worth a request any more, in milliseconds. */
const SHORTEST_MS = 1000;
/** Browsers count timers in 32 bits. */
const LONGEST_MS = 60 * 60 * 1000;

/** `renew` asks the server for more time and resolves with the session. */
export function keepSignedIn(session, renew) {
  let timer = null;

  const plan = () => {
    clearTimeout(timer);
    if (session.endsAt === null) return;
    const left = session.endsAt - Date.now();
    if (left > SHORTEST_MS) timer = setTimeout(turn, Math.min(left / 2, LONGEST_MS));
  };

  const turn = async () => {
    if (!session.used) return plan();
    try {
      const { token, expires_in: seconds } = await renew();
      // Whoever signed out meanwhile stays signed out.
      if (session.endsAt !== null) session.signIn(token, seconds);
    } catch {
      // What is left of its time is enough for another try, or it has ended and is asked for.
      plan();
    }
    return undefined;
  };

  session.addEventListener('change', plan);
}

/** The panel that asks for a token, and the button that forgets it. */

import { fitsHeader, session } from './session.js';

/** Wires the panel; `onSignedIn` is called when the server takes the token. */
export function wireSignIn({ panel, form, field, problem, signOut, check, onSignedIn }) {
  const show = (text = '') => {
    problem.textContent = text;
    problem.hidden = text === '';
    panel.hidden = false;
  };

  session.addEventListener('required', () => {
    if (panel.hidden) show(session.signedIn ? 'The token is not valid, or not any more.' : '');
  });
  session.addEventListener('change', () => {
    signOut.hidden = !session.signedIn;
  });
  signOut.addEventListener('click', () => {
    session.signOut();
    // So that what was shown for somebody is not shown to nobody.
    location.reload();
  });

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const token = field.value.trim();
    if (!fitsHeader(token)) return show('That is no token: it is one word, without spaces.');
    session.signIn(token);
    try {
      await check();
    } catch (error) {
      // A token that is valid and may not do this one thing is valid.
      if (error.status !== 403) {
        if (error.status === 401) session.signOut();
        field.select();
        return show(error.message);
      }
    }
    field.value = '';
    panel.hidden = true;
    return onSignedIn();
  });
}

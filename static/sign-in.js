/** The panel in which one signs in, by a code or with a token, and the button that ends it. */

import { fitsHeader, session } from './session.js';

const ENDED =
  'You are not signed in any more. Sign in again, and what was interrupted goes on.';

/** Wires the panel, whose parts `$` finds; `onSignedIn` is called when one is signed in. */
export function wireSignIn({ $, api, check, onSignedIn }) {
  const panel = $('sign-in');
  const problem = $('sign-in-problem');
  /** Whether this server lets everybody in, and knows some by name. */
  let optional = false;

  const say = (text = '') => {
    problem.textContent = text;
    problem.hidden = text === '';
  };
  /** By e-mail: first the address, then the code. */
  const step = (name) => {
    $('email-form').hidden = name !== 'email';
    $('code-form').hidden = name !== 'code';
  };
  const offer = () => {
    $('offer-sign-in').hidden = !optional || session.signedIn || !panel.hidden;
  };
  const askForWays = async () => {
    const ways = await api.waysToSignIn().catch(() => ({ otp: false, optional, required: true }));
    optional = ways.optional;
    return ways;
  };
  const done = () => {
    for (const id of ['code', 'token']) $(id).value = '';
    panel.hidden = true;
    say();
    offer();
    onSignedIn();
  };

  const show = async () => {
    if (!panel.hidden) return;
    panel.hidden = false;
    say(session.signedIn ? ENDED : '');
    const { otp } = await askForWays();
    offer();
    $('sign-in-required').hidden = optional;
    $('sign-in-optional').hidden = !optional || session.signedIn;
    step(otp ? 'email' : null);
    $('token-way').open = !otp;
    $('token-way').classList.toggle('alone', !otp);
  };

  session.addEventListener('required', show);
  session.addEventListener('change', () => {
    $('sign-out').hidden = !session.signedIn;
    offer();
  });
  $('offer-sign-in').addEventListener('click', async () => {
    await show();
    panel.querySelector('form:not([hidden]) input').focus();
  });
  askForWays().then(async ({ required }) => {
    offer();
    if (required) return;
    const { access } = await api.limits().catch(() => ({}));
    $('open-access').hidden = access !== 'open';
  });
  $('sign-out').addEventListener('click', async () => {
    // If it cannot be told to the server, the session ends by itself.
    if (session.endsAt !== null) await api.signOut().catch(() => {});
    session.signOut();
    // So that what was shown for somebody is not shown to nobody.
    location.reload();
  });

  /** Runs `action` when the form is sent, once at a time, and shows why it failed. */
  const onSubmit = (id, field, action) => {
    const button = $(id).querySelector('[type=submit]');
    $(id).addEventListener('submit', async (event) => {
      event.preventDefault();
      button.disabled = true;
      say();
      try {
        await action();
      } catch (error) {
        say(error.message);
        $(field).select();
      } finally {
        button.disabled = false;
      }
    });
  };

  onSubmit('email-form', 'email', async () => {
    await api.sendCode($('email').value.trim());
    $('code-address').textContent = $('email').value.trim();
    step('code');
    $('code').focus();
  });
  $('other-address').addEventListener('click', () => {
    say();
    step('email');
    $('email').select();
  });
  onSubmit('code-form', 'code', async () => {
    // People copy codes with the spaces around them.
    const code = $('code').value.replace(/\s/g, '');
    const { token, expires_in: seconds } = await api.signIn($('email').value.trim(), code);
    session.signIn(token, seconds);
    step('email');
    done();
  });
  onSubmit('token-form', 'token', async () => {
    const token = $('token').value.trim();
    if (!fitsHeader(token)) throw new Error('That is no token: it is one word, without spaces.');
    session.signIn(token);
    try {
      await check();
    } catch (error) {
      if (error.status === 401) session.signOut();
      // A token that is valid and may not do this one thing is valid.
      if (error.status !== 403) throw error;
    }
    done();
  });
}

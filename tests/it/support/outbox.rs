//! A mailer that keeps what it is given, and can be told to refuse it.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use flowstitch::{
    mail::{Mail, Mailer, NotSent},
    upload::limits::CODE_LIFETIME,
};
use tokio::{sync::Notify, time::timeout};

use super::Gate;

/// What was sent, in order, until somebody takes it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    mails: VecDeque<Mail>,
    /// How the next attempts fail.
    failures: VecDeque<NotSent>,
    attempts: usize,
    /// Where each attempt waits.
    held: Option<Gate>,
}

impl Outbox {
    /// Lets the next attempts fail, one for each.
    pub(crate) fn fail(&self, failures: impl IntoIterator<Item = NotSent>) {
        self.state().failures.extend(failures);
    }

    /// Lets all attempts take until the gate is opened.
    pub(crate) fn hold(&self) -> Gate {
        let gate = Gate::closed();
        self.state().held = Some(gate.clone());
        gate
    }

    /// Lets no attempt fail any more.
    pub(crate) fn recover(&self) {
        self.state().failures.clear();
    }

    /// How many mails were to be sent, with and without success.
    pub(crate) fn attempts(&self) -> usize {
        self.state().attempts
    }

    /// How many mails nobody took yet.
    pub(crate) fn len(&self) -> usize {
        self.state().mails.len()
    }

    /// The next mail; waits for it, though not for ever.
    pub(crate) async fn next(&self) -> Mail {
        timeout(CODE_LIFETIME, self.wait()).await.expect("a mail comes")
    }

    async fn wait(&self) -> Mail {
        loop {
            let came = self.came.notified();
            if let Some(mail) = self.state().mails.pop_front() {
                return mail;
            }
            came.await;
        }
    }

    /// The code in the next mail.
    pub(crate) async fn code(&self) -> String {
        code_in(&self.next().await.text)
    }

    /// Waits until so many attempts were made.
    pub(crate) async fn tried(&self, attempts: usize) {
        loop {
            let came = self.came.notified();
            if attempts <= self.attempts() {
                return;
            }
            came.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds it")
    }
}

#[async_trait]
impl Mailer for Outbox {
    async fn send(&self, mail: &Mail) -> Result<(), NotSent> {
        let held = {
            let mut state = self.state();
            state.attempts += 1;
            state.held.clone()
        };
        self.came.notify_waiters();
        if let Some(gate) = held {
            gate.pass().await;
        }
        let sent = {
            let mut state = self.state();
            let failure = state.failures.pop_front();
            if failure.is_none() {
                state.mails.push_back(mail.clone());
            }
            failure.map_or(Ok(()), Err)
        };
        self.came.notify_waiters();
        sent
    }
}

/// The six digits that stand alone in a text.
pub(crate) fn code_in(text: &str) -> String {
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|it| it.is_ascii_digit());
    text.split_whitespace().find(is_code).expect("a code").to_owned()
}

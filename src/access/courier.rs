//! Sends codes, behind the back of whoever asks for them: who asks learns nothing of whether there
//! is such a user, by the time it takes neither. Each request causes two writes of the catalog,
//! whether or not a code is sent: a later request, which waits for the disk, shows no difference.
//!
//! A code that was not sent when the service stops is sent after the next start: not the same one,
//! for nobody knows it any more, but a new one that ends when that would have.

mod way;

use std::{
    collections::HashMap,
    error::Error,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::way::Way;
use super::{UserError, code, pace::Pace, throttle::place, tokens::later};
use crate::{
    catalog::{Catalog, CatalogError},
    engine::Clock,
    mail::{Mail, Mailer, NotSent},
    upload::{CodeRecord, Principal, Timestamp, User, limits},
};

/// Why no code is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCode {
    /// There is no mailer.
    NotConfigured,
    /// Not an address.
    Email,
    /// Too many were asked for, from one address: ask again after this time.
    TooMany(Duration),
    /// Too many are waiting, or the service stops.
    Busy,
}

/// From where a code is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFrom {
    /// From the client's own address.
    Client(IpAddr),
    /// Through a proxy that is not trusted to say whose request it is.
    UnnamedProxy(IpAddr),
}

/// Takes addresses, and sees to it that their users get codes. What runs for it ends with it.
#[derive(Debug)]
pub(super) struct Courier {
    desk: Arc<Desk>,
    wanted: mpsc::Sender<String>,
    /// Who asks how often, by where they are.
    asking: Pace<IpAddr>,
    tasks: TaskTracker,
}

impl Courier {
    /// Must be called inside a tokio runtime.
    pub(super) fn new(
        catalog: Arc<dyn Catalog>,
        clock: Clock,
        mailer: Arc<dyn Mailer>,
        site: String,
    ) -> Self {
        let most = limits::PENALTY_PLACES_MAX;
        let desk = Arc::new(Desk {
            catalog,
            clock,
            mailer,
            site,
            sending: Pace::new(limits::CODES_AT_ONCE, limits::CODE_INTERVAL, most),
            on_the_way: Mutex::default(),
            lines: Semaphore::new(limits::MAILS_AT_ONCE),
            stop: CancellationToken::new(),
        });
        let (wanted, queue) = mpsc::channel(limits::CODES_WANTED_LEN);
        let tasks = TaskTracker::new();
        tasks.spawn(serve(desk.clone(), queue, tasks.clone()));
        let asking = Pace::new(limits::CODES_ASKED_AT_ONCE, limits::CODES_ASKED_INTERVAL, most);
        Self { desk, wanted, asking, tasks }
    }

    /// Sends a code to this address, if it is a user's; all of it later.
    ///
    /// Whoever asks too often from one address is refused for a while. But behind a proxy that is
    /// not named in `trusted_proxies` everybody has one address, and one who asks too often must
    /// not keep the others out: there each request waits its turn, for a bounded time.
    pub(super) async fn send(&self, email: &str, from: Option<AskedFrom>) -> Result<(), NoCode> {
        match from {
            Some(AskedFrom::Client(peer)) => {
                self.asking.step(place(peer)).map_err(NoCode::TooMany)?;
            }
            Some(AskedFrom::UnnamedProxy(peer)) => {
                let most = limits::CODES_ASKED_INTERVAL;
                sleep(self.asking.owe(place(peer), Instant::now(), most)).await;
            }
            None => {}
        }
        self.wanted.try_send(email.to_owned()).map_err(|_| NoCode::Busy)
    }

    /// The user signed in with this code: if nobody guessed at it, it does not count. The others
    /// do: whoever guesses at them gets no more of them by that.
    pub(super) fn used(&self, code: &CodeRecord) {
        if code.tries_left + 1 == limits::CODE_TRIES {
            self.desk.sending.give_back(&code.user);
        }
    }

    /// The user has another address: what goes to the former one is given up, and what was sent to
    /// it does not keep the user from asking for more.
    pub(super) fn moved(&self, user: &Principal) {
        if let Some(given_up) = self.desk.on_the_way().remove(user) {
            given_up.cancel();
        }
        self.desk.sending.give_back(user);
    }

    /// Ends in order: what is being handed to the mail server is handed over; what waits for its
    /// turn, or to be tried again, is left to the next start.
    pub(super) async fn stop(&self) {
        self.desk.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.desk.stop.cancel();
    }
}

/// What all of it shares.
#[derive(Debug)]
struct Desk {
    catalog: Arc<dyn Catalog>,
    clock: Clock,
    mailer: Arc<dyn Mailer>,
    /// Under which address browsers know the service, or nothing.
    site: String,
    sending: Pace<Principal>,
    /// Whose code is being sent, and how to give that up: they get no other one meanwhile.
    on_the_way: Mutex<HashMap<Principal, CancellationToken>>,
    /// Connections to the mail server.
    lines: Semaphore,
    stop: CancellationToken,
}

/// One address after the other, until the stop; what is in the queue then is written down.
async fn serve(desk: Arc<Desk>, mut queue: mpsc::Receiver<String>, tasks: TaskTracker) {
    match desk.left().await {
        Ok(left) => {
            for (user, expires_at) in left {
                // What is left then, is left to the next start.
                if desk.stop.is_cancelled() {
                    break;
                }
                desk.begin(&tasks, user, expires_at).await;
            }
        }
        Err(error) => warn(&error, "Codes that were not sent cannot be looked up"),
    }
    while let Some(email) = desk.stop.run_until_cancelled(queue.recv()).await.flatten() {
        desk.wanted(&tasks, &email).await;
    }
    queue.close();
    while let Some(email) = queue.recv().await {
        desk.wanted(&tasks, &email).await;
    }
}

impl Desk {
    /// Whose codes were not sent before the last stop, and until when they are wanted.
    async fn left(&self) -> Result<Vec<(User, Timestamp)>, CatalogError> {
        let directory = self.catalog.directory();
        let mut left = Vec::new();
        let most = limits::CODES_ON_THE_WAY_MAX;
        for code in directory.unsent_codes(self.clock.now(), most).await? {
            let user = directory.user(&code.user).await?;
            let user = user.filter(|user| user.disabled_at.is_none());
            left.extend(user.map(|user| (user, code.expires_at)));
        }
        Ok(left)
    }

    async fn wanted(self: &Arc<Self>, tasks: &TaskTracker, email: &str) {
        let user = match self.catalog.directory().user_by_email(email).await {
            Ok(user) => user.filter(|user| self.may_have_one(user)),
            Err(error) => return warn(&error, "Cannot look up for whom a code is"),
        };
        let is_sent = match user {
            Some(user) => {
                let expires_at = later(self.clock.now(), limits::CODE_LIFETIME);
                self.begin(tasks, user, expires_at).await
            }
            None => false,
        };
        if !is_sent {
            self.pretend(tasks, email).await;
        }
    }

    /// Whether this user is sent a code now.
    fn may_have_one(&self, user: &User) -> bool {
        if user.disabled_at.is_some() || self.on_the_way().contains_key(&user.name) {
            return false;
        }
        let may = self.sending.step(user.name.clone()).is_ok();
        if !may {
            tracing::warn!(user = user.name.as_str(), "Too many codes: no other one for a while");
        }
        may
    }

    /// Writes to the catalog as often as for a code that is sent, though none is: whoever asks must
    /// not learn by how busy the disk is whether there is such a user.
    async fn pretend(&self, tasks: &TaskTracker, email: &str) {
        let nobody = Principal::anonymous();
        let record = code::digits().and_then(|it| code::record(&it, nobody, self.clock.now()));
        let record = match record {
            Ok(record) => record,
            Err(error) => return warn(&error, "Cannot make a code"),
        };
        let catalog = self.catalog.clone();
        if let Err(error) = catalog.directory().put_code(&record, email).await {
            return warn(&error, "Cannot write that no code is made");
        }
        tasks.spawn(async move {
            if let Err(error) = catalog.directory().code_sent(&record).await {
                warn(&error, "Cannot write that no code was sent");
            }
        });
    }

    /// Makes a code, and sends it in a task of its own. Returns false, and has written nothing, if
    /// too many are on their way.
    async fn begin(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        user: User,
        expires_at: Timestamp,
    ) -> bool {
        let Some(way) = self.set_out(&user.name) else {
            tracing::warn!("Too many codes are on their way: none is made");
            return false;
        };
        match self.make(&user, expires_at).await {
            Ok(Some((code, mail))) => drop(tasks.spawn(way.deliver(code, mail))),
            Ok(None) => {}
            Err(error) => warn(&error, "Cannot make a code"),
        }
        true
    }

    fn set_out(self: &Arc<Self>, user: &Principal) -> Option<Way> {
        let mut on_the_way = self.on_the_way();
        let fits = on_the_way.len() < limits::CODES_ON_THE_WAY_MAX;
        if !fits || on_the_way.contains_key(user) {
            return None;
        }
        let given_up = CancellationToken::new();
        on_the_way.insert(user.clone(), given_up.clone());
        Some(Way { desk: self.clone(), user: user.clone(), given_up })
    }

    async fn make(
        &self,
        user: &User,
        expires_at: Timestamp,
    ) -> Result<Option<(CodeRecord, Mail)>, UserError> {
        let Some(to) = user.email.clone() else { return Ok(None) };
        let digits = code::digits()?;
        let record = code::record(&digits, user.name.clone(), expires_at)?;
        let kept = self.catalog.directory().put_code(&record, &to).await?;
        Ok(kept.then(|| (record, self.mail(to, &digits))))
    }

    fn mail(&self, to: String, digits: &str) -> Mail {
        let site = if self.site.is_empty() { "the upload page" } else { &self.site };
        let minutes = limits::CODE_LIFETIME.as_secs() / 60;
        let text = format!(
            "Somebody, probably you, wants to sign in to {site}.\r\n\r\n    {digits}\r\n\r\nThis \
             code counts for {minutes} minutes, and once. Give it to nobody.\r\nIf it was not \
             you, there is nothing to do: nobody gets in without the code.\r\n"
        );
        Mail { to, subject: "Your code to sign in".into(), text }
    }

    /// Tries again and again, until it is taken or refused for good. Returns false if the service
    /// stops first.
    async fn hand_over(&self, mail: &Mail) -> bool {
        let mut pause = limits::MAIL_RETRY_MIN;
        loop {
            match self.try_once(mail).await {
                None => return false,
                Some(Ok(())) => return true,
                Some(Err(error)) => {
                    warn(&error, "A code was not sent");
                    if matches!(error, NotSent::ForGood(_)) {
                        return true;
                    }
                }
            }
            if self.stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return false;
            }
            pause = (pause * 2).min(limits::MAIL_RETRY_MAX);
        }
    }

    /// Nothing if the service stops before there is a line: only what has one by then is sent.
    async fn try_once(&self, mail: &Mail) -> Option<Result<(), NotSent>> {
        let line = self.stop.run_until_cancelled(self.lines.acquire()).await?;
        let _line = line.expect("it is never closed");
        // A line may be free, or get free, at the very moment of the stop.
        if self.stop.is_cancelled() {
            return None;
        }
        let sent = timeout(limits::MAIL_TIMEOUT, self.mailer.send(mail)).await;
        Some(sent.unwrap_or(Err(NotSent::TimedOut)))
    }

    fn on_the_way(&self) -> MutexGuard<'_, HashMap<Principal, CancellationToken>> {
        self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(error: &(dyn Error + 'static), what: &'static str) {
    tracing::warn!(error, "{what}");
}

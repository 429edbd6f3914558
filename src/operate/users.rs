//! `flowstitch user`: who may use the service.

use std::io::{self, IsTerminal, Write};

use bytesize::ByteSize;

use super::{
    Failure,
    control::{self, Answer, target},
    counted, refuse, table, tell,
};
use crate::{
    config::{Config, Named, Users},
    http::control::{Holdings, Person},
    upload::escaped,
};

/// `flowstitch user …`. Returns whether it was done.
pub async fn users(config: &Config, command: &Users) -> Result<bool, Failure> {
    match command {
        Users::List { json } => {
            let answer = control::post::<Vec<Person>>(config, "/users/list").await?;
            told(answer, |users| as_table(users), *json)
        }
        Users::Add { name, email, json } => {
            let mut parameters = vec![("name", name.as_str())];
            parameters.extend(email.as_deref().map(|email| ("email", email)));
            let target = target("/users/add", &parameters);
            let answer = control::post_or_begin::<Person>(config, &target).await?;
            told(answer, |user| format!("added {}\n", escaped(&user.name)), *json)
        }
        Users::Disable(named) => change(config, "disable", "disabled", named).await,
        Users::Enable(named) => change(config, "enable", "enabled", named).await,
        Users::Email { name, address, json, .. } => {
            let named = ("name", name.as_str());
            let (target, done) = match address {
                Some(email) => (target("/users/email", &[named, ("email", email)]), "changed"),
                None => (target("/users/forget-email", &[named]), "cleared"),
            };
            let answer = control::post::<()>(config, &target).await?;
            let user = escaped(name.as_str());
            told(answer, |()| format!("{done} the address of {user}\n"), *json)
        }
        Users::Remove { named, yes } => remove(config, named, *yes).await,
    }
}

/// Asks first: what goes does not come back.
async fn remove(config: &Config, named: &Named, sure: bool) -> Result<bool, Failure> {
    if !sure {
        let name = escaped(named.name.as_str());
        let target = target("/users/holdings", &[("name", named.name.as_str())]);
        let goes = match control::post::<Holdings>(config, &target).await? {
            Answer::Done(goes) => goes,
            Answer::Refused(why) => return refuse(&why, named.json).map(|()| false),
        };
        let Holdings { uploads, stored_files, stored_bytes } = goes;
        let (uploads, stored) = (counted(uploads, "unfinished upload"), ByteSize(stored_bytes));
        let files = counted(stored_files, "finished file");
        let what = format!(
            "This removes {name} with all tokens and {uploads}; {files} ({stored}) of this user \
             go to the trash."
        );
        if !io::stdin().is_terminal() {
            let why = format!("{what} Run it with --yes to do so.");
            return refuse(&why, named.json).map(|()| false);
        }
        write!(io::stderr(), "{what} Remove {name}? [y/N] ")?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        if !["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()) {
            return refuse("Nothing was removed.", named.json).map(|()| false);
        }
    }
    change(config, "remove", "removed", named).await
}

async fn change(config: &Config, what: &str, done: &str, named: &Named) -> Result<bool, Failure> {
    let target = target(&format!("/users/{what}"), &[("name", named.name.as_str())]);
    let answer = control::post::<()>(config, &target).await?;
    told(answer, |()| format!("{done} {}\n", escaped(named.name.as_str())), named.json)
}

/// Tells what came of it.
pub(super) fn told<T: serde::Serialize>(
    answer: Answer<T>,
    in_words: impl FnOnce(&T) -> String,
    as_json: bool,
) -> Result<bool, Failure> {
    match answer {
        Answer::Done(done) => tell(&done, in_words, as_json).map(|()| true),
        Answer::Refused(why) => refuse(&why, as_json).map(|()| false),
    }
}

fn as_table(users: &[Person]) -> String {
    let head = ["NAME", "E-MAIL", "ADDED", "DISABLED"].map(str::to_owned);
    let row = |user: &Person| {
        [
            escaped(&user.name),
            user.email.as_deref().map_or_else(|| "-".into(), escaped),
            user.created_at.clone(),
            user.disabled_at.clone().unwrap_or_else(|| "-".into()),
        ]
    };
    let rows: Vec<_> = [head].into_iter().chain(users.iter().map(row)).collect();
    table::aligned(&rows, &[])
}

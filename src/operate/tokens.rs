//! `flowstitch token`: with what programs show who they are.

use std::io::{self, Write};

use super::{
    Failure,
    control::{self, Answer, target},
    table,
    users::told,
};
use crate::{
    config::{Config, NewToken, Tokens},
    http::control::{Issued, TokenBody},
    upload::escaped,
};

/// `flowstitch token …`. Returns whether it was done.
pub async fn tokens(config: &Config, command: &Tokens) -> Result<bool, Failure> {
    match command {
        Tokens::Create(new) => create(config, new).await,
        Tokens::List { name, json } => {
            let parameters: Vec<_> = name.iter().map(|name| ("name", name.as_str())).collect();
            let target = target("/tokens/list", &parameters);
            let answer = control::post::<Vec<TokenBody>>(config, &target).await?;
            told(answer, |tokens| as_table(tokens), *json)
        }
        Tokens::Revoke { id, json } => {
            let target = target("/tokens/revoke", &[("id", &id.to_string())]);
            let answer = control::post::<()>(config, &target).await?;
            told(answer, |()| format!("revoked {id}\n"), *json)
        }
    }
}

async fn create(config: &Config, new: &NewToken) -> Result<bool, Failure> {
    let scopes = new.scopes.to_string();
    let seconds = new.expires.map(|span| span.0.as_secs().to_string());
    let mut parameters =
        vec![("name", new.name.as_str()), ("scopes", &scopes), ("label", &new.label)];
    parameters.extend(seconds.as_deref().map(|seconds| ("seconds", seconds)));
    // A first token is made before there is a server that could be reached.
    let target = target("/tokens/create", &parameters);
    let answer = control::post_or_begin::<Issued>(config, &target).await?;
    if let Answer::Done(Issued { ended_open_access: true, record, .. }) = &answer {
        writeln!(
            io::stderr(),
            "flowstitch: open access has ended: the page and every program need a token from now \
             on. `flowstitch creatives list --public` shows what was stored without one, and \
             `flowstitch creatives give --public --to {}` gives it to {0}",
            escaped(&record.user)
        )?;
    }
    // Alone on its line, so that a script can take it as it is.
    told(answer, |issued| format!("{}\n", issued.token), new.json)
}

fn as_table(tokens: &[TokenBody]) -> String {
    let head =
        ["ID", "USER", "KIND", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "REVOKED", "LABEL"];
    let none = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".into());
    let row = |token: &TokenBody| {
        [
            token.id.clone(),
            escaped(&token.user),
            token.kind.clone(),
            token.scopes.clone(),
            token.created_at.clone(),
            none(&token.expires_at),
            none(&token.used_at),
            none(&token.revoked_at),
            escaped(&token.label),
        ]
    };
    let head = head.map(str::to_owned);
    let rows: Vec<_> = [head].into_iter().chain(tokens.iter().map(row)).collect();
    table::aligned(&rows, &[])
}

//! Creatives, whoever's they are: deleted, or given to a user.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::people::known_user;
use crate::{
    http::{
        body,
        problem::Problem,
        query::Parameters,
        state::{Answer, State},
    },
    upload::{By, CreativeId, Principal},
};

/// How many creatives were given to a user.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Given {
    /// How many.
    pub creatives: u64,
}

/// `POST /creatives/…`.
pub(super) async fn creatives(state: &State, what: &str, query: &str, by: &By) -> Answer {
    let query = Parameters::read(query, &["id", "from", "to"])?;
    let id = || query.get::<CreativeId>("id", "a creative's id");
    match what {
        "delete" => {
            let id = id()?.ok_or_else(unknown)?;
            let creative = state.engine.any_creative(id).await?.ok_or_else(unknown)?;
            let deleted = state.engine.delete_creative(&creative.principal, id, by).await?;
            deleted.then(|| body::json(StatusCode::OK, &())).ok_or_else(unknown)
        }
        "give" => {
            let to = known_user(state, &query, "to").await?;
            let creatives = match (id()?, owner(&query)?) {
                (Some(id), None) => {
                    let given = state.engine.give_creative(id, &to, by).await?;
                    given.then_some(1).ok_or_else(unknown)?
                }
                (None, Some(from)) => state.engine.give_all(&from, &to, by).await?,
                _ => return Err(unknown()),
            };
            Ok(body::json(StatusCode::OK, &Given { creatives }))
        }
        _ => Err(Problem::not_found()),
    }
}

/// Whose creatives are meant: a user's, or those of the public, whose name no user has.
fn owner(query: &Parameters) -> Result<Option<Principal>, Problem> {
    let name: Option<String> = query.get("from", "a user's name")?;
    Ok(name.map(Principal::named))
}

fn unknown() -> Problem {
    let detail = "No creative has this id: `flowstitch creatives list` shows those there are.";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

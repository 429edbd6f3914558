//! Users and tokens, as the operator sees and changes them.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    access::{NewToken, UserError},
    http::{
        body::{self, Response},
        problem::Problem,
        query::Parameters,
        state::{Answer, State},
        trouble::sentence,
    },
    upload::{AccessState, By, KnownName, Principal, Scopes, TokenId, TokenRecord, Usage, User},
};

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// When the user was added (RFC 3339).
    pub created_at: String,
    /// Since when nothing is allowed (RFC 3339), if that is so.
    pub disabled_at: Option<String>,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        Self {
            name: user.name.as_str().to_owned(),
            email: user.email,
            created_at: user.created_at.to_string(),
            disabled_at: user.disabled_at.map(|at| at.to_string()),
        }
    }
}

/// A token without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenBody {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// How it came to be: `key`, by the operator, or `session`, by signing in to the page.
    pub kind: String,
    /// What its owner calls it.
    pub label: String,
    /// What may be done with it.
    pub scopes: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// When it was last used, to the hour.
    pub used_at: Option<String>,
    /// When it was taken back.
    pub revoked_at: Option<String>,
}

impl From<TokenRecord> for TokenBody {
    fn from(token: TokenRecord) -> Self {
        Self {
            id: token.id.to_string(),
            user: token.user.as_str().to_owned(),
            kind: token.kind.as_str().to_owned(),
            label: token.label,
            scopes: token.scopes.to_string(),
            created_at: token.created_at.to_string(),
            expires_at: token.expires_at.map(|at| at.to_string()),
            used_at: token.used_at.map(|at| at.to_string()),
            revoked_at: token.revoked_at.map(|at| at.to_string()),
        }
    }
}

/// A token that was just made, with its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issued {
    /// The token in full.
    pub token: String,
    /// Whether everybody could use the service until now, without a token.
    #[serde(default)]
    pub ended_open_access: bool,
    /// What is known of it.
    #[serde(flatten)]
    pub record: TokenBody,
}

/// What a user has.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Holdings {
    /// Unfinished uploads.
    pub uploads: u64,
    /// Finished files…
    pub stored_files: u64,
    /// …and their bytes.
    pub stored_bytes: u64,
}

/// `POST /users/…`.
pub(super) async fn users(state: &State, what: &str, query: &str, by: &By) -> Answer {
    let query = Parameters::read(query, &["name", "email"])?;
    let access = &state.access;
    match what {
        "list" => {
            let after = query.get::<String>("name", "a user's name")?.map(Principal::named);
            let users = access.users(after.as_ref()).await;
            let users = users.map_err(UserError::from)?;
            Ok(json(&users.into_iter().map(Person::from).collect::<Vec<_>>()))
        }
        "add" => {
            let email = query.get("email", "an e-mail address")?;
            Ok(json(&Person::from(access.add_user(&new_name(&query)?, email, by).await?)))
        }
        "disable" | "enable" => {
            let name = known_user(state, &query, "name").await?;
            let found = access.disable_user(&name, what == "disable", by).await;
            found.map_err(UserError::from)?.then(|| json(&())).ok_or(UserError::Unknown.into())
        }
        "email" => {
            // An empty one clears nothing: a script's variable may be empty by mistake.
            let email: String = query.get("email", "an e-mail address")?.ok_or(UserError::Email)?;
            access.set_email(&known_user(state, &query, "name").await?, Some(&email), by).await?;
            Ok(json(&()))
        }
        "forget-email" => {
            access.set_email(&known_user(state, &query, "name").await?, None, by).await?;
            Ok(json(&()))
        }
        "holdings" => {
            let name = known_user(state, &query, "name").await?;
            let Usage { uploads, stored_bytes, stored_files, .. } =
                state.engine.usage(&name).await?;
            Ok(json(&Holdings { uploads, stored_files, stored_bytes }))
        }
        "remove" => remove(state, &known_user(state, &query, "name").await?, by).await,
        _ => Err(Problem::not_found()),
    }
}

/// All that is the user's, and then the user. Disabled first, so that nothing comes in meanwhile.
async fn remove(state: &State, name: &Principal, by: &By) -> Answer {
    let access = &state.access;
    if !access.disable_user(name, true, by).await.map_err(UserError::from)? {
        return Err(UserError::Unknown.into());
    }
    state.engine.remove_all_of(name, by).await?;
    if access.remove_user(name, by).await.map_err(UserError::from)? {
        return Ok(json(&()));
    }
    let detail = "Something of the user came in meanwhile: the user is disabled; run it again.";
    Err(Problem::new(StatusCode::CONFLICT, "conflict", detail))
}

/// `POST /tokens/…`.
pub(super) async fn tokens(state: &State, what: &str, query: &str, by: &By) -> Answer {
    let query = Parameters::read(query, &["name", "scopes", "seconds", "label", "id"])?;
    let access = &state.access;
    match what {
        "list" => {
            let named = query.get::<KnownName>("name", "a user's name")?.is_some();
            let user = if named { Some(known_user(state, &query, "name").await?) } else { None };
            let tokens = access.tokens(user.as_ref()).await.map_err(UserError::from)?;
            Ok(json(&tokens.into_iter().map(TokenBody::from).collect::<Vec<_>>()))
        }
        "create" => {
            let scopes = query.get::<Scopes>("scopes", "upload, read or admin")?;
            let lifetime = query.get("seconds", "a number of seconds")?.map(Duration::from_secs);
            let label = query.get("label", "a text")?.unwrap_or_default();
            let scopes = scopes.unwrap_or(Scopes::NONE);
            let new = NewToken { user: new_name(&query)?, label, scopes, lifetime };
            let was_open = access.state() == AccessState::Open;
            let (token, record) = access.create_token(new, by).await?;
            let token = token.reveal();
            Ok(json(&Issued { token, ended_open_access: was_open, record: record.into() }))
        }
        "revoke" => {
            let id = query.get::<TokenId>("id", "a token's id")?.ok_or_else(unknown_token)?;
            let revoked = access.revoke_token(id, by).await.map_err(UserError::from)?;
            revoked.then(|| json(&())).ok_or_else(unknown_token)
        }
        _ => Err(Problem::not_found()),
    }
}

/// The name of a user who may not be there yet: it must follow the rule.
fn new_name(query: &Parameters) -> Result<Principal, Problem> {
    query.get("name", "a user's name")?.ok_or_else(nobody)
}

/// The user whom this parameter means. Errors: there is none; the catalog does not answer.
pub(super) async fn known_user(
    state: &State,
    query: &Parameters,
    parameter: &str,
) -> Result<Principal, Problem> {
    let name = query.get::<KnownName>(parameter, "a user's name")?.ok_or_else(nobody)?;
    for user in name.meant() {
        if state.access.user(&user).await.map_err(UserError::from)?.is_some() {
            return Ok(user);
        }
    }
    Err(UserError::Unknown.into())
}

fn nobody() -> Problem {
    Problem::bad_request("invalid_name", "Name a user.")
}

fn unknown_token() -> Problem {
    let detail = "No token has this id, or it was taken back before: `flowstitch token list` shows \
                  those there are.";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

/// Of a type that the tool reads.
fn json<T: Serialize + DeserializeOwned>(document: &T) -> Response {
    body::json(StatusCode::OK, document)
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let detail = sentence(&error);
        match error {
            UserError::Taken => Self::new(StatusCode::CONFLICT, "conflict", detail),
            UserError::Unknown => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            UserError::Email => Self::bad_request("invalid_email", detail),
            UserError::Label => Self::bad_request("invalid_label", detail),
            UserError::Random(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "No random numbers");
                Self::internal()
            }
            UserError::Catalog(error) => crate::engine::UploadError::from(error).into(),
        }
    }
}

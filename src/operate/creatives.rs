//! `flowstitch creatives`: what was published, whoever's it is.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    Data, Failure,
    control::{self, target},
    counted, print, print_json, table,
    uploads::seconds,
    users::told,
};
use crate::{
    config::{Config, Creatives},
    http::control::Given,
    upload::{Creative, CreativeId, Principal, escaped},
};

/// Characters of a file name that a table shows.
const NAME_LEN_MAX: usize = 60;

/// A creative, for programs.
#[derive(Debug, Serialize)]
struct Row {
    id: CreativeId,
    user_id: String,
    /// As it came, hostile or not.
    filename: String,
    size: u64,
    content_type: String,
    scheduled_at: String,
    created_at: String,
}

impl From<Creative> for Row {
    fn from(creative: Creative) -> Self {
        Self {
            id: creative.id,
            user_id: creative.principal.as_str().to_owned(),
            filename: creative.filename.as_str().to_owned(),
            size: creative.size,
            content_type: creative.content_type,
            scheduled_at: creative.scheduled.to_string(),
            created_at: seconds(creative.created_at),
        }
    }
}

/// `flowstitch creatives …`. Returns whether it was done.
pub async fn creatives(config: &Config, command: &Creatives) -> Result<bool, Failure> {
    match command {
        Creatives::List { user, public, limit, json } => {
            let of = user.as_ref().map(|user| user.meant().collect());
            let of = of.or(public.then(|| vec![Principal::anonymous()]));
            list(config, of, *limit, *json).await
        }
        Creatives::Delete { id, json } => {
            let target = target("/creatives/delete", &[("id", &id.to_string())]);
            let answer = control::post::<()>(config, &target).await?;
            told(answer, |()| format!("deleted {id}\n"), *json)
        }
        Creatives::Give { id, to, json, .. } => {
            let id = id.map(|id| id.to_string());
            let public = Principal::anonymous();
            let what = id.as_deref().map_or(("from", public.as_str()), |id| ("id", id));
            let target = target("/creatives/give", &[what, ("to", to.as_str())]);
            let answer = control::post::<Given>(config, &target).await?;
            let given = |given: &Given| {
                let count = counted(given.creatives, "creative");
                format!("gave {count} to {}\n", escaped(to.as_str()))
            };
            told(answer, given, *json)
        }
    }
}

async fn list(
    config: &Config,
    of: Option<Vec<Principal>>,
    limit: usize,
    as_json: bool,
) -> Result<bool, Failure> {
    let data = Arc::new(Data::open(config)?);
    let list = data.blocking(move |data| {
        // Of those that the name may mean, the first who has any.
        let mut found = Vec::new();
        for of in of.map_or_else(|| vec![None], |all| all.into_iter().map(Some).collect()) {
            if found.is_empty() {
                found = data.facts.newest_creatives(of.as_ref(), limit)?;
            }
        }
        Ok(found)
    });
    let rows: Vec<Row> = list.await?.into_iter().map(Row::from).collect();
    if as_json {
        print_json(&json!({ "creatives": rows }))?;
    } else {
        print(&as_table(&rows))?;
    }
    Ok(true)
}

/// A table for people; the name last, for nobody knows how wide it is.
fn as_table(rows: &[Row]) -> String {
    let head = ["ID", "WHOSE", "SIZE", "SCHEDULED", "CREATED", "NAME"].map(str::to_owned);
    let row = |row: &Row| {
        [
            row.id.to_string(),
            escaped(&row.user_id),
            row.size.to_string(),
            row.scheduled_at.clone(),
            row.created_at.clone(),
            table::shortened(&row.filename, NAME_LEN_MAX),
        ]
    };
    let rows: Vec<_> = [head].into_iter().chain(rows.iter().map(row)).collect();
    table::aligned(&rows, &[2])
}

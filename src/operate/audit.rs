//! `flowstitch audit`: who did what to which upload or creative, and from where.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{Data, Failure, print, print_json, table, uploads::seconds};
use crate::{
    catalog::AuditQuery,
    config::{Audit, Config},
    upload::{AuditEntry, Timestamp, UploadId, escaped},
};

/// Characters of a detail that a table shows.
const DETAIL_LEN_MAX: usize = 60;

/// A line, for programs.
#[derive(Debug, Serialize)]
struct Line {
    at: String,
    action: &'static str,
    principal: String,
    subject: String,
    upload_id: Option<UploadId>,
    /// As it came, hostile or not.
    detail: Option<String>,
    means: String,
    address: Option<String>,
    request_id: Option<String>,
}

impl From<AuditEntry> for Line {
    fn from(entry: AuditEntry) -> Self {
        Self {
            at: seconds(entry.at),
            action: entry.deed.as_str(),
            principal: entry.principal,
            subject: entry.subject,
            upload_id: entry.upload,
            detail: entry.detail,
            means: entry.means,
            address: entry.address,
            request_id: entry.request_id,
        }
    }
}

/// `flowstitch audit`. Reads, whether or not a server runs.
pub async fn audit(config: &Config, command: &Audit) -> Result<bool, Failure> {
    let query = AuditQuery {
        since: command.since.map(|span| before(Timestamp::now(), span.0)),
        principal: command.user.clone(),
        upload: command.upload,
        limit: command.limit,
    };
    let data = Arc::new(Data::open(config)?);
    let entries = data.blocking(move |data| Ok(data.facts.audit(&query)?)).await?;
    let lines: Vec<Line> = entries.into_iter().map(Line::from).collect();
    if command.json {
        print_json(&json!({ "audit": lines }))?;
    } else {
        print(&as_table(&lines))?;
    }
    Ok(true)
}

fn before(now: Timestamp, span: std::time::Duration) -> Timestamp {
    now.saturating_sub(span).unwrap_or(Timestamp::MIN)
}

/// A table for people; the detail last, for nobody knows how wide it is.
fn as_table(lines: &[Line]) -> String {
    let head = ["AT", "ACTION", "WHOSE", "SUBJECT", "BY", "FROM", "REQUEST", "DETAIL"];
    let row = |line: &Line| {
        let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "-".into(), escaped);
        [
            line.at.clone(),
            line.action.to_owned(),
            escaped(&line.principal),
            escaped(&line.subject),
            table::shortened(&line.means, DETAIL_LEN_MAX),
            or_none(&line.address),
            or_none(&line.request_id),
            table::shortened(line.detail.as_deref().unwrap_or_default(), DETAIL_LEN_MAX),
        ]
    };
    let rows: Vec<_> = [head.map(str::to_owned)].into_iter().chain(lines.iter().map(row)).collect();
    table::aligned(&rows, &[])
}

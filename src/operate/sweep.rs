//! `flowstitch sweep`: by the server, if one runs. What it would do can be told without anybody who
//! has the data.

use std::sync::Arc;

use super::{
    Data, Failure,
    control::{self, Answer},
    counted,
    uploads::seconds,
};
use crate::{
    config::Config,
    engine::{Clock, Expiring, SweepPlan},
    http::control::Sweep,
    store::PublishedName,
    upload::{Timestamp, escaped, limits::SWEEP_PLAN_LEN_MAX},
};

/// What a sweep did, or with `dry_run` would do.
pub(super) async fn sweep(config: &Config, dry_run: bool) -> Result<Answer<Sweep>, Failure> {
    let target = format!("/sweep?dry_run={dry_run}");
    if let Some(answer) = control::ask_server(&config.control_socket, &target).await? {
        return control::read(answer);
    }
    let data = Arc::new(Data::open(config)?);
    let plan = planned(&data, config)?;
    if dry_run {
        return Ok(Answer::Done(plan));
    }
    // An engine sweeps as soon as it starts: what was done is what was to do before and is not now.
    match control::do_it_here::<Sweep>(config, &target).await? {
        Answer::Done(_) => Ok(Answer::Done(plan.without(&planned(&data, config)?))),
        refused @ Answer::Refused(_) => Ok(refused),
    }
}

/// As [`crate::engine::Engine::sweep_plan`], where no engine runs and so no upload is in use.
fn planned(data: &Data, config: &Config) -> Result<Sweep, Failure> {
    let now = Clock::system(config.time_zone.clone()).now();
    let ago = |span| now.saturating_sub(span).unwrap_or(Timestamp::MIN);
    let mut plan = SweepPlan::default();
    for id in data.facts.idle(ago(config.upload_ttl), SWEEP_PLAN_LEN_MAX)? {
        let record = data.facts.upload(id)?;
        plan.expire.extend(record.map(|record| Expiring {
            id,
            filename: record.filename,
            idle_since: record.touched_at,
        }));
    }
    plan.tombstones = data.facts.purgeable(ago(config.tombstone_ttl))?;
    let doomed = data.facts.doomed()?;
    plan.files = doomed.iter().map(|it| PublishedName::new(it.id, &it.filename)).collect();
    Ok(plan.into())
}

/// For people.
pub(super) fn as_text(sweep: &Sweep, dry_run: bool) -> String {
    let mut lines = Vec::new();
    for upload in &sweep.expire {
        let idle_since: Result<Timestamp, _> = upload.idle_since.parse();
        let since = idle_since.map_or_else(|_| upload.idle_since.clone(), seconds);
        let name = escaped(&upload.filename);
        lines.push(format!("upload {} \"{name}\", idle since {since}\n", upload.id));
    }
    lines.extend(sweep.files.iter().map(|file| format!("file {file} of a deleted creative\n")));
    let expired = counted(sweep.expire.len() as u64, "upload");
    let forgotten = counted(sweep.tombstones, "ended upload");
    let files = counted(sweep.files.len() as u64, "file");
    lines.push(if dry_run {
        format!("would expire {expired}, forget {forgotten}, remove {files}\n")
    } else {
        format!("expired {expired}, forgot {forgotten}, removed {files}\n")
    });
    lines.concat()
}

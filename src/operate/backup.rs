//! `flowstitch backup` and `flowstitch restore`.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, interval},
};

use super::{
    Failure,
    control::{self, Answer},
    counted,
    progress::Progress,
};
use crate::{
    app::folders,
    catalog::{Access, CatalogSurvey, CatalogView},
    config::Config,
    http::control::Cut,
    store::{
        PublishedName,
        backup::{
            Added, CutView, Entry, Generation, Header, Restore, RestoreError, Vault, cut_catalog,
        },
    },
    upload::{
        CreativeId, Mark, UploadId,
        limits::{PROGRESS_INTERVAL, VERIFY_PAGE_LEN},
    },
};

/// What a backup holds, and what it took.
#[derive(Debug, Default, Serialize)]
pub(super) struct Saved {
    id: String,
    /// When the cut was made.
    created_at: String,
    /// Finished files.
    files: u64,
    /// Uploads that were running, with bytes.
    uploads: u64,
    /// Files that were copied byte by byte, …
    copied: u64,
    /// … that share their blocks with the service's, or are the same files, …
    shared: u64,
    /// … and that were there from an earlier run.
    unchanged: u64,
    /// What the service itself has lost: `verify` says more.
    pub(super) lost: Vec<Lost>,
}

/// A file that the catalog speaks of, and that is not there or has another length.
#[derive(Debug, Serialize)]
pub(super) struct Lost {
    creative_id: Option<CreativeId>,
    upload_id: Option<UploadId>,
    problem: &'static str,
}

/// What was restored.
#[derive(Debug, Default, Serialize)]
pub(super) struct Restored {
    id: String,
    created_at: String,
    files: u64,
    uploads: u64,
}

/// What is told while it goes on.
#[derive(Debug, Default)]
struct Meter {
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    fn add(&self) -> impl FnMut(u64) {
        |bytes| {
            self.done.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Draws how far it is until the work has ended.
async fn watched<T>(
    mut work: JoinHandle<Result<T, Failure>>,
    meter: &Meter,
    mut progress: Progress,
) -> Result<T, Failure> {
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = loop {
        tokio::select! {
            end = &mut work => break end,
            _ = ticks.tick() => {
                progress.total = meter.total.load(Ordering::Relaxed);
                progress.draw(meter.done.load(Ordering::Relaxed));
            }
        }
    };
    progress.clear();
    end?
}

/// Takes a backup.
pub(super) async fn backup(
    config: &Config,
    to: &Path,
    progress: Progress,
) -> Result<Answer<Saved>, Failure> {
    // Before anything is asked of the server: where nothing can be written, nothing need be cut.
    let path = to.to_owned();
    let vault = spawn_blocking(move || Vault::open_to_write(&path)).await??;
    let own = config.clone();
    let view = spawn_blocking(move || CutView::claim(folders(&own))).await??;
    let target = control::target("/backup", &[("id", view.id())]);
    let cut = match control::post::<Cut>(config, &target).await? {
        Answer::Done(cut) => cut,
        Answer::Refused(why) => return Ok(Answer::Refused(why)),
    };
    let meter = Arc::new(Meter::default());
    let (config, own) = (config.clone(), meter.clone());
    let work = spawn_blocking(move || {
        let catalog = cut_catalog(&config.incomplete_dir, view.id());
        let facts = CatalogView::open(&catalog)?;
        let deployment = mark_of(&catalog)?.map(|mark| mark.deployment.to_string());
        let header = Header::new(view.id().to_owned(), deployment, cut.created_at);
        save(&vault, (&view, &facts), &header, &own)
    });
    watched(work, &meter, progress).await.map(Answer::Done)
}

/// What a snapshot of the catalog says of which folders belong to it.
fn mark_of(catalog: &Path) -> Result<Option<Mark>, Failure> {
    Ok(CatalogSurvey::of(catalog, Access::Shared)?.and_then(|found| found.mark))
}

/// Copies all that the snapshot speaks of.
fn save(
    vault: &Vault,
    (view, facts): (&CutView, &CatalogView),
    header: &Header,
    meter: &Meter,
) -> Result<Saved, Failure> {
    let mut backup = vault.begin(header)?;
    meter.total.store(total(view, facts)?, Ordering::Relaxed);
    let (id, created_at) = (header.id.clone(), header.created_at.clone());
    let mut saved = Saved { id, created_at, ..Saved::default() };
    backup.add_catalog(view, &mut |_| {})?;
    save_finished(&mut backup, view, facts, (&mut saved, meter))?;
    save_parts(&mut backup, view, facts, (&mut saved, meter))?;
    backup.finish()?;
    Ok(saved)
}

/// How many bytes there are to deal with.
fn total(view: &CutView, facts: &CatalogView) -> Result<u64, Failure> {
    let mut total = facts.stored_bytes()?;
    let mut after = None;
    loop {
        let page = facts.running(after, VERIFY_PAGE_LEN)?;
        let Some(last) = page.last() else { return Ok(total) };
        after = Some(*last);
        for id in page {
            total += view.part_len(id)?.unwrap_or_default();
        }
    }
}

fn save_finished(
    backup: &mut Generation<'_>,
    view: &CutView,
    facts: &CatalogView,
    (saved, meter): (&mut Saved, &Meter),
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = facts.creatives(after, VERIFY_PAGE_LEN)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        for id in page {
            let Some(creative) = facts.creative(id)? else { continue };
            let name = PublishedName::new(id, &creative.filename);
            let file = (&name, creative.size, creative.digest);
            saved.files += 1;
            let added = backup.add_finished(view, file, &mut meter.add())?;
            saved.note(added, (Some(id), None));
        }
    }
}

fn save_parts(
    backup: &mut Generation<'_>,
    view: &CutView,
    facts: &CatalogView,
    (saved, meter): (&mut Saved, &Meter),
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = facts.running(after, VERIFY_PAGE_LEN)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        for id in page {
            let Some(record) = facts.upload(id)? else { continue };
            if facts.received(id)?.ranges == 0 {
                continue;
            }
            let name = PublishedName::new(record.creative_id, &record.filename);
            let part = (id, &name, record.identity.plan().total());
            saved.uploads += 1;
            let added = backup.add_part(view, part, &mut meter.add())?;
            saved.note(added, (None, Some(id)));
        }
    }
}

impl Saved {
    fn note(
        &mut self,
        added: Added,
        (creative_id, upload_id): (Option<CreativeId>, Option<UploadId>),
    ) {
        let problem = match added {
            Added::Copied => return self.copied += 1,
            Added::Shared => return self.shared += 1,
            Added::Unchanged => return self.unchanged += 1,
            Added::Missing => "its bytes are not there",
            Added::WrongSize => "its file has not the length that is recorded",
        };
        self.lost.push(Lost { creative_id, upload_id, problem });
    }

    /// For people.
    pub(super) fn as_text(&self) -> String {
        let lost = self.lost.iter().map(|Lost { creative_id, upload_id, problem }| {
            let id = creative_id.map(|id| format!("creative {id}"));
            let id = id.or_else(|| upload_id.map(|id| format!("upload {id}"))).unwrap_or_default();
            format!("lost: {id}: {problem}, and so it is not in the backup\n")
        });
        lost.collect::<String>()
            + &format!(
                "saved {}, {}, as of {}: {} copied, {} shared, {} there before\n",
                counted(self.files, "finished file"),
                counted(self.uploads, "running upload"),
                self.created_at,
                self.copied,
                self.shared,
                self.unchanged,
            )
    }
}

/// Restores a backup.
pub(super) async fn restore(
    config: &Config,
    from: &Path,
    (verify, linked): (bool, bool),
    progress: Progress,
) -> Result<Restored, Failure> {
    let meter = Arc::new(Meter::default());
    let (config, from, own) = (config.clone(), from.to_owned(), meter.clone());
    let work = spawn_blocking(move || {
        let vault = Vault::open_to_read(&from)?;
        check(&vault, verify, &own)?;
        let restore = Restore::begin(&vault, (folders(&config), &config.database))?;
        bring_back(&vault, restore, linked, &own)
    });
    watched(work, &meter, progress).await
}

/// Looks at the whole backup before anything is written.
fn check(vault: &Vault, verify: bool, meter: &Meter) -> Result<(), Failure> {
    let mut total = 0;
    for entry in vault.manifest()?.1 {
        let entry = entry?;
        total += entry.place().1;
        // The catalog, too, is small enough to be read each time.
        let is_catalog = matches!(entry, Entry::Catalog { .. });
        vault.check(&entry, is_catalog, &mut |_| {})?;
    }
    meter.total.store(total * if verify { 2 } else { 1 }, Ordering::Relaxed);
    if verify {
        for entry in vault.manifest()?.1 {
            vault.check(&entry?, true, &mut meter.add())?;
        }
    }
    Ok(())
}

fn bring_back(
    vault: &Vault,
    restore: Restore<'_>,
    linked: bool,
    meter: &Meter,
) -> Result<Restored, Failure> {
    let (header, entries) = vault.manifest()?;
    let Header { id, created_at, .. } = header;
    let mut restored = Restored { id, created_at, ..Restored::default() };
    let mut catalog = None;
    for entry in entries {
        let entry = entry?;
        restore.add(&entry, linked, &mut meter.add())?;
        match &entry {
            Entry::Catalog { .. } => catalog = Some(entry),
            Entry::Finished { .. } => restored.files += 1,
            Entry::Part { .. } => restored.uploads += 1,
        }
    }
    let Some(catalog) = catalog else {
        let problem = "of the catalog is not named".into();
        return Err(RestoreError::Damaged { file: "the snapshot".into(), problem }.into());
    };
    let mark = mark_of(&vault.path_of(catalog.place().0))?;
    restore.finish(catalog.place(), mark)?;
    Ok(restored)
}

impl Restored {
    /// For people.
    pub(super) fn as_text(&self) -> String {
        format!(
            "restored {}, {}, as of {}: start the server\n",
            counted(self.files, "finished file"),
            counted(self.uploads, "running upload"),
            self.created_at,
        )
    }
}

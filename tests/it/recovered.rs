//! A catalog that is older than the disk: one that was saved while uploads ran, and restored after
//! they had ended. Nothing is deleted on its word, and what was complete is so again.

use std::time::Duration;

use flowstitch::{
    catalog::{AuditQuery, Catalog},
    store::{ChunkStore, MemoryStore, Origin, PublishedName, StoreOp},
    upload::{By, Deed, Means, UploadId, UploadRecord, limits},
};

use crate::support::{Machine, TestApp, idle, pass, sha256_hex};

const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;

/// Uploads half of a file, saves the facts, lets the other half come, and restores them.
fn restored(flag: &str, sha256: Option<&str>) -> Machine {
    let machine = Machine::new().flag(flag);
    machine.process(async |app| {
        let mut file = app.flow(CONTENT);
        if let Some(sha256) = sha256 {
            file = file.with("sha256", sha256);
        }
        file.send([1, 3]).await;
        let saved = machine.facts.saved();
        let last = file.send([2, 4, 5, 6]).await;
        assert_eq!(last.json()["complete"], true, "{}", last.json());
        machine.facts.restore(&saved);
    });
    assert_eq!(machine.disk_files(), (0, 1));
    machine
}

impl Machine {
    /// How many files are in `incomplete/` and `completed/`.
    fn disk_files(&self) -> (usize, usize) {
        Self::paused(self.files())
    }

    async fn lines(&self, deed: Deed) -> usize {
        let all = AuditQuery { since: None, principal: None, upload: None, limit: 100 };
        let lines = self.facts.trail().entries(&all).await.expect("the trail");
        lines.iter().filter(|line| line.deed == deed).count()
    }

    /// What is in the trash: where it was, and its bytes.
    async fn trash(&self) -> Vec<(Origin, Option<u64>)> {
        let trash = self.disk.trash().await.expect("a list");
        trash.into_iter().map(|it| (it.key.origin, it.len)).collect()
    }
}

async fn assert_recovered(machine: &Machine, app: &TestApp) {
    app.assert_one_creative(CONTENT).await;
    assert_eq!(machine.files().await, (0, 1));
    assert_eq!(machine.lines(Deed::UploadRecovered).await, 1);
    assert_eq!(machine.trash().await, []);
}

#[test]
fn a_finished_file_is_recorded_when_its_upload_is_asked_for() {
    for flag in ["--digest=sha256", "--digest=none"] {
        for sha256 in [None, Some(sha256_hex(CONTENT))] {
            let machine = restored(flag, sha256.as_deref());
            machine.process(async |app| {
                let probe = app.flow(CONTENT).probe(2).await;
                assert_eq!(probe.assert_status(200).json()["complete"], true);
                if flag == "--digest=sha256" || sha256.is_some() {
                    assert_recovered(&machine, app).await;
                } else {
                    assert_eq!(app.creatives().await.len(), 1);
                }
            });
        }
    }
}

#[test]
fn a_finished_file_is_recorded_by_a_start_though_nobody_asks() {
    let machine = restored("--upload-ttl=24h", None);
    machine.process(async |app| {
        idle().await;
        assert_recovered(&machine, app).await;
        assert_eq!(app.flow(CONTENT).lookup().await.json()["complete"], true);
    });
    machine.process(async |app| {
        idle().await;
        assert_recovered(&machine, app).await;
    });
}

#[test]
fn after_loss_of_power_a_finished_file_is_evidence_all_the_same() {
    let machine = restored("--upload-ttl=24h", None);
    machine.lose_power();
    machine.process(async |app| {
        assert_eq!(app.flow(CONTENT).probe(2).await.json()["complete"], true);
        assert_recovered(&machine, app).await;
    });
}

#[test]
fn while_the_finished_file_is_read_nothing_is_written_and_no_probe_lies() {
    let machine = restored("--upload-ttl=24h", None).reconfigured("--completion-wait=0s");
    let gate = machine.store.hold_next(StoreOp::Read);
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        assert_eq!(file.probe(2).await.status, 204, "the catalog knows nothing of this one");
        gate.reached().await;
        assert_eq!(file.probe(1).await.status, 200, "it is in the file, and what it was");
        assert_eq!(file.probe(1).await.json()["complete"], false);
        let repeated = file.post(2).await;
        assert_eq!(repeated.assert_status(200).json()["complete"], false);
        let other = file.post_bytes(2, &b"other"[..file.chunk(2).len()]).await;
        other.assert_problem(409, "conflict");
        assert_eq!(machine.files().await, (0, 1));
        gate.open();
        idle().await;
        assert_eq!(file.probe(2).await.json()["complete"], true);
        assert_recovered(&machine, app).await;
    });
}

#[test]
fn a_finished_file_that_does_not_match_is_set_aside_and_comes_anew() {
    let other = b"hello woRld, are you there?";
    let cases: [(&[u8], Option<String>); 3] =
        [(&CONTENT[..9], None), (other, None), (CONTENT, Some(sha256_hex(other)))];
    for (found, declared) in cases {
        let machine = restored("--upload-ttl=24h", None);
        Machine::paused(async {
            // Another file in its place: shorter, or with other bytes.
            let name = machine.disk.published().await.expect("a list").remove(0);
            machine.disk.unpublish(&name).await.expect("removed");
            plant(&machine.disk, &name, found).await;
        });
        let gate = declared.as_ref().map(|_| machine.store.hold_next(StoreOp::Read));
        machine.process(async |app| {
            let file = app.flow(CONTENT);
            if let (Some(sha256), Some(gate)) = (&declared, gate) {
                // Its client names a SHA-256 that the file cannot have.
                let named = app.flow(CONTENT).with("sha256", sha256);
                let (_, ()) = tokio::join!(named.post(1), async {
                    gate.reached().await;
                    idle().await;
                    gate.open();
                });
            }
            idle().await;
            assert_eq!(file.probe(1).await.status, 204);
            let trash = machine.trash().await;
            assert_eq!(trash.len(), 1, "{trash:?}");
            assert_eq!(trash[0].1, Some(found.len() as u64));
            assert_eq!(machine.lines(Deed::FileTrashed).await, 1);
            if declared.is_none() {
                file.send(1..=COUNT).await;
                app.assert_one_creative(CONTENT).await;
            }
        });
    }
}

async fn plant(disk: &MemoryStore, name: &PublishedName, bytes: &[u8]) {
    let id = UploadId::new();
    disk.create(id, bytes.len() as u64).await.expect("room");
    disk.write(id, 0, vec![bytes.to_vec().into()]).await.expect("written");
    disk.publish(id, name).await.expect("published");
}

#[test]
fn a_finished_file_whose_upload_is_given_up_goes_to_the_trash() {
    let machine = restored("--upload-ttl=24h", None).reconfigured("--completion-wait=0s");
    let gate = machine.store.hold_next(StoreOp::Read);
    machine.process(async |app| {
        let id = app.flow(CONTENT).lookup().await.upload_id();
        gate.reached().await;
        let path = format!("/uploads/{id}");
        let (cancelled, ()) = tokio::join!(app.delete(&path), async {
            idle().await;
            gate.open();
        });
        cancelled.assert_status(204);
        assert_eq!(app.creatives().await.len(), 0);
        assert_eq!(machine.files().await, (0, 0));
        assert_eq!(machine.trash().await.len(), 1);
    });
}

#[test]
fn the_sweep_takes_no_finished_file_from_a_catalog_of_long_ago() {
    let machine = restored("--upload-ttl=1s", None);
    machine.advance_seconds(3600 * 24);
    machine.process(async |app| {
        app.app().engine().sweep().await.expect("a sweep");
        idle().await;
        assert_recovered(&machine, app).await;
    });
}

#[test]
fn a_part_that_the_catalog_does_not_know_goes_to_the_trash() {
    let machine = Machine::new();
    machine.process(async |app| {
        let saved = machine.facts.saved();
        app.flow(CONTENT).send([1, 3]).await;
        machine.facts.restore(&saved);
    });
    machine.process(async |_| {
        idle().await;
        assert_eq!(machine.files().await, (0, 0));
        assert!(matches!(machine.trash().await[..], [(Origin::Incomplete(_), Some(27))]));
        assert_eq!(machine.lines(Deed::FileTrashed).await, 1);
    });
}

#[test]
fn what_its_owner_deletes_goes_for_good_and_what_the_operator_deletes_to_the_trash() {
    let machine = Machine::new();
    machine.process(async |app| {
        for means in [Means::Nothing, Means::Operator] {
            let kept = usize::from(means == Means::Operator);
            app.flow(CONTENT).send(1..=COUNT).await;
            let creative = app.creatives().await.remove(0);
            let id = creative["id"].as_str().expect("an id").parse().expect("an id");
            let by = By { means, ..By::server(app.clock().now()) };
            let owner = flowstitch::upload::Principal::anonymous();
            let deleted = app.app().engine().delete_creative(&owner, id, &by).await;
            assert!(deleted.expect("deleted"));
            assert_eq!(machine.files().await, (0, 0));
            assert_eq!(machine.trash().await.len(), kept);
        }
    });
}

#[test]
fn the_trash_is_emptied_when_its_time_is_over_and_before_the_disk_is_full() {
    let machine = Machine::with_disk(MemoryStore::with_room(100)).flag("--reserve-free=0");
    let machine = machine.flag("--trash-ttl=20m");
    let orphan = async || {
        let id = UploadId::new();
        machine.disk.create(id, 60).await.expect("room");
    };
    Machine::paused(orphan());
    machine.process(async |app| {
        idle().await;
        assert_eq!(machine.trash().await.len(), 1);
        // Not for a file for which there would be no room all the same.
        let large = app.flow(vec![7; 120]).chunk_size(120).post(1).await;
        large.assert_problem(507, "no_space");
        assert_eq!(machine.trash().await.len(), 1);
        // Nor what went there a short time ago.
        let file = app.flow(vec![7; 50]).chunk_size(50);
        file.post(1).await.assert_problem(507, "no_space");
        assert_eq!(machine.trash().await.len(), 1);
        machine.advance_seconds(limits::TRASH_KEPT.as_secs().try_into().expect("short"));
        file.send([1]).await.assert_status(201);
        assert_eq!(machine.trash().await, []);
        assert_eq!(machine.lines(Deed::TrashEmptied).await, 1);
        let creative = app.creatives().await.remove(0);
        let path = format!("/creatives/{}", creative["id"].as_str().expect("an id"));
        app.delete(&path).await.assert_status(204);
    });
    Machine::paused(orphan());
    machine.process(async |app| {
        idle().await;
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(machine.trash().await.len(), 1, "its time is not over");
        machine.advance_seconds(1201);
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(machine.trash().await.len(), 1, "the clock may have jumped");
        pass(Duration::from_secs(1201)).await;
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(machine.trash().await, []);
        assert_eq!(machine.lines(Deed::TrashEmptied).await, 2);
    });
}

impl Machine {
    /// The one upload that is being received.
    async fn unfinished(&self) -> UploadRecord {
        let later = "2030-01-01T00:00:00Z".parse().expect("a time");
        let ids = self.facts.idle(later, 2).await.expect("a list");
        let [id] = ids[..] else { panic!("{ids:?}") };
        self.facts.upload(id).await.expect("read").expect("it is there")
    }
}

#[test]
fn of_a_part_and_a_finished_file_the_one_that_fits_what_is_known_counts() {
    for fits in [true, false] {
        let machine = restored("--upload-ttl=24h", None);
        Machine::paused(async {
            // The part comes from the backup, too, with the chunks that the catalog knows.
            let id = machine.unfinished().await.id;
            machine.disk.create(id, CONTENT.len() as u64).await.expect("room");
            for at in [0..4, 8..12] {
                let frames = vec![CONTENT[at.clone()].to_vec().into()];
                machine.disk.write(id, at.start as u64, frames).await.expect("written");
            }
            if !fits {
                let name = machine.disk.published().await.expect("a list").remove(0);
                machine.disk.unpublish(&name).await.expect("removed");
                plant(&machine.disk, &name, b"hello woRld, are you there?").await;
            }
        });
        machine.process(async |app| {
            idle().await;
            if fits {
                assert_recovered(&machine, app).await;
                return;
            }
            assert_eq!((machine.files().await, machine.trash().await.len()), ((1, 0), 1));
            let file = app.flow(CONTENT);
            assert_eq!(
                (file.probe(1).await.status, file.probe(2).await.status),
                (http::StatusCode::OK, http::StatusCode::NO_CONTENT)
            );
            file.send([2, 4, 5, 6]).await;
            app.assert_one_creative(CONTENT).await;
        });
    }
}

#[test]
fn a_file_in_the_way_of_a_publish_goes_to_the_trash() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([1, 3]).await;
        let record = machine.unfinished().await;
        let name = PublishedName::new(record.creative_id, &record.filename);
        plant(&machine.disk, &name, b"in the way").await;
        let last = file.send([2, 4, 5, 6]).await;
        assert_eq!(last.json()["complete"], true, "{}", last.json());
        app.assert_one_creative(CONTENT).await;
        assert_eq!(machine.trash().await, [(Origin::Completed(name), Some(10))]);
    });
}

#[test]
fn the_only_copy_of_a_file_whose_publish_the_disk_took_back_is_kept() {
    let machine = Machine::new();
    machine.process(async |app| {
        let last = app.flow(CONTENT).send(1..=COUNT).await.json();
        let upload: UploadId =
            last["upload"]["id"].as_str().expect("an id").parse().expect("an id");
        let disk = &machine.disk;
        disk.create(upload, CONTENT.len() as u64).await.expect("created");
        disk.write(upload, 0, vec![bytes::Bytes::from_static(CONTENT)]).await.expect("written");
        for name in disk.published().await.expect("a list") {
            disk.unpublish(&name).await.expect("gone");
        }
    });
    assert_eq!(machine.disk_files(), (1, 0));
    machine.process(async |_| idle().await);
    assert_eq!(machine.disk_files(), (1, 0));
}

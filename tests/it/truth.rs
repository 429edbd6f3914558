//! Where memory and catalog would come to say different things of one upload: the catalog is the
//! truth, and nothing is done or said against it.

use std::io::ErrorKind;

use flowstitch::{
    store::{ChunkStore, MemoryStore, StoreOp},
    upload::UploadId,
};

use crate::support::{CatalogOp, Gate, Machine, Reply, idle, sha256_hex};

/// 27 bytes in six chunks.
const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;
const DAY: i64 = 24 * 3600;

fn id_of(reply: &Reply) -> UploadId {
    reply.upload_id().parse().expect("an id")
}

#[test]
fn a_creative_that_is_deleted_while_its_upload_is_loaded_answers_for_nothing() {
    let machine = Machine::new();
    let url = machine.process(async |app| {
        app.flow(CONTENT).send(1..=COUNT).await;
        let creative = app.assert_one_creative(CONTENT).await;
        format!("/creatives/{}", creative["id"].as_str().expect("an id"))
    });
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        idle().await;
        // The probe has read the creative and has yet to say so.
        let held = Gate::closed();
        machine.catalog.hold_nth_after(CatalogOp::Look, 1, &held);
        let script = async {
            held.reached().await;
            let deletes = async { app.delete(&url).await.assert_status(204).status };
            let opens = async {
                idle().await;
                held.open();
            };
            tokio::join!(deletes, opens)
        };
        tokio::join!(file.probe(1), script);
        file.probe(1).await.assert_missing();
        file.send(1..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn one_file_that_cannot_be_removed_keeps_no_other_from_it() {
    let machine = Machine::new();
    machine.process(async |app| {
        for name in ["a.bin", "b.bin"] {
            app.flow(CONTENT).name(name).send(1..=COUNT).await;
        }
        for creative in app.creatives().await {
            machine.disk.fail_next(StoreOp::Unpublish, ErrorKind::Other);
            let url = format!("/creatives/{}", creative["id"].as_str().expect("an id"));
            app.delete(&url).await.assert_status(204);
        }
        assert_eq!(machine.files().await, (0, 2));
        machine.disk.fail_next(StoreOp::Unpublish, ErrorKind::Other);
        app.app().engine().sweep().await.ok();
        assert_eq!(machine.files().await, (0, 1));
    });
}

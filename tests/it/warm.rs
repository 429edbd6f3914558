//! Bytes that are hashed from memory, and those that have to be read back.

use flowstitch::{store::StoreOp, upload::limits::READ_LEN_MAX};

use crate::support::Machine;

const CHUNK: usize = 1 << 20;
const FILE: usize = 5 * CHUNK;

/// A file of five chunks, sent in this order: how often the store is read for it.
fn reads(machine: &Machine, order: [usize; 5]) -> u64 {
    let mut content = vec![0; FILE];
    fastrand::Rng::with_seed(5).fill(&mut content);
    let mut reads = 0;
    machine.process(async |app| {
        let file = app.flow(content.clone()).chunk_size(CHUNK);
        file.send(order).await.assert_status(201);
        reads = machine.disk.count(StoreOp::Read);
        app.assert_one_creative(file.content()).await;
    });
    reads
}

#[test]
fn what_came_a_moment_ago_is_hashed_without_being_read_back() {
    for order in [[1, 2, 3, 4, 5], [3, 5, 1, 4, 2]] {
        // But for its beginning, which says what it is, if that was not passed with all the rest.
        let reads = reads(&Machine::new(), order);
        assert!(reads <= 1, "{order:?}: {reads}");
    }
}

#[test]
fn without_memory_to_spare_all_is_read_back() {
    let poor = Machine::new().flag("--memory-budget=2MiB");
    // And its beginning once more, for what it is.
    let slices = (FILE / READ_LEN_MAX) as u64;
    assert_eq!(reads(&poor, [2, 5, 4, 1, 3]), slices + 1);
}

#[test]
fn an_upload_that_is_only_looked_at_is_not_read() {
    let machine = Machine::new();
    let content = vec![7; FILE];
    machine.process(async |app| {
        app.flow(content.clone()).chunk_size(CHUNK).send([1, 2, 3]).await.assert_status(200);
    });
    let before = machine.disk.count(StoreOp::Read);
    machine.process(async |app| {
        let file = app.flow(content.clone()).chunk_size(CHUNK);
        file.probe(1).await.assert_status(200);
        file.probe(4).await.assert_status(204);
        // A worker that was told of it would have its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(machine.disk.count(StoreOp::Read), before);
    machine.process(async |app| {
        let file = app.flow(content.clone()).chunk_size(CHUNK);
        file.send([4, 5]).await.assert_status(201);
        app.assert_one_creative(file.content()).await;
    });
    assert!(before < machine.disk.count(StoreOp::Read), "the end reads what was there");
}

#[test]
fn with_stitch_reads_back_every_chunk_is_read_back_from_its_file() {
    let machine = Machine::new().flag("--stitch-reads-back");
    let slices = (FILE / READ_LEN_MAX) as u64;
    assert_eq!(reads(&machine, [1, 2, 3, 4, 5]), slices + 1);

    // Also a file that comes in one piece.
    let machine = Machine::new().flag("--stitch-reads-back");
    machine.process(async |app| {
        let file = app.flow(vec![7; CHUNK]).chunk_size(CHUNK);
        let before = machine.disk.count(StoreOp::Read);
        file.send([1]).await.assert_status(201);
        let slices = (CHUNK / READ_LEN_MAX) as u64;
        assert_eq!(machine.disk.count(StoreOp::Read) - before, slices + 1);
    });
}

#[test]
fn with_stitch_reads_back_a_byte_that_rots_before_the_end_is_found() {
    let machine = Machine::new().flag("--stitch-reads-back");
    machine.process(async |app| {
        machine.store.rot_next_read();
        let file = app.flow(vec![7; CHUNK]).chunk_size(CHUNK);
        assert_eq!(file.post(1).await.status, 503, "it is asked for again");
        file.probe(1).await.assert_missing();
        file.send([1]).await.assert_status(201);
        app.assert_one_creative(file.content()).await;
    });
}

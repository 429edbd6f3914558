//! A chunk that is sent again is compared with what is stored: how much is read for that.

use flowstitch::store::StoreOp;
use futures_util::future::join_all;

use crate::support::{FlowFile, Machine, TestApp, idle, pattern};

const MIB: usize = 1024 * 1024;
/// What each request brings of its chunk, with a wrong byte.
const BROUGHT: usize = 350;
const REQUESTS: usize = 20;

/// A file of which the first chunk, 4 MiB, is stored.
async fn half_stored(app: &TestApp) -> FlowFile<'_> {
    let file = app.flow(pattern(8 * MIB)).chunk_size(4 * MIB);
    file.octet(1).await.assert_status(200);
    idle().await;
    file
}

/// The first bytes of chunk 1, the first of them wrong.
fn wrong(file: &FlowFile<'_>) -> Vec<u8> {
    let mut bytes = file.chunk(1)[..BROUGHT].to_vec();
    bytes[0] ^= 1;
    bytes
}

#[test]
fn a_wrong_byte_makes_the_server_read_no_more_than_came() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = half_stored(app).await;
        let before = machine.store.bytes_read();
        let requests = (0..REQUESTS).map(async |_| {
            let (client, answer) = file.trickle(1);
            let leaves = async {
                client.bring(&wrong(&file)).await;
                client.cut().await;
            };
            tokio::join!(answer, leaves).0
        });
        for answer in join_all(requests).await {
            answer.assert_problem(400, "incomplete_body");
        }
        let read = machine.store.bytes_read() - before;
        assert!(read <= (REQUESTS * BROUGHT) as u64, "{read} bytes");
        file.send([1]).await.assert_status(200);
        file.send([2]).await.assert_status(201);
    });
}

#[test]
fn nothing_is_read_behind_the_first_difference() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = half_stored(app).await;
        let before = machine.store.bytes_read();
        let (client, answer) = file.trickle(1);
        let script = async {
            client.bring(&wrong(&file)).await;
            for part in file.chunk(1)[BROUGHT..].chunks(MIB) {
                client.bring(part).await;
            }
            drop(client);
        };
        tokio::join!(answer, script).0.assert_problem(409, "conflict");
        assert_eq!(machine.store.bytes_read() - before, BROUGHT as u64);
    });
}

#[test]
fn comparisons_take_turns_and_who_leaves_gives_up_its_own() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = half_stored(app).await;
        let before = machine.disk.count(StoreOp::Read);
        let gate = machine.store.hold_next(StoreOp::Read);
        let (first, first_answer) = file.trickle(1);
        let (others, answers): (Vec<_>, Vec<_>) = (0..REQUESTS).map(|_| file.trickle(1)).unzip();
        let script = async {
            first.bring(&wrong(&file)).await;
            gate.reached().await;
            for other in others {
                other.bring(&wrong(&file)).await;
                other.cut().await;
            }
            idle().await;
            assert_eq!(machine.disk.count(StoreOp::Read), before, "two compare at once");
            gate.open();
            first.bring(&file.chunk(1)[BROUGHT..]).await;
            drop(first);
        };
        let (first, others, ()) = tokio::join!(first_answer, join_all(answers), script);
        first.assert_problem(409, "conflict");
        for answer in others {
            answer.assert_problem(400, "incomplete_body");
        }
        assert_eq!(machine.disk.count(StoreOp::Read), before + 1, "read for who had left");
    });
}

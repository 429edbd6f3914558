//! One writer per range: the stalled, the doubled, the contradicting, the broken.

use std::{cell::Cell, pin::pin, time::Duration};

use flowstitch::upload::limits::CLAIM_STALL;
use futures_util::{future::join_all, poll};

use crate::support::{Machine, Reply, TestApp, idle, sha256_hex};

/// A file of two chunks of eight bytes, as two clients know it.
const CONTENT: &str = "abcdefghABCDEFGH";

/// A client stalls in chunk 1, another one brings the chunk, and then the first one wakes and ends
/// its chunk with these bytes. Gives the answers to both, and that of the last chunk.
async fn stall(app: &TestApp, awake: &[u8]) -> (Reply, Reply, Reply) {
    let file = app.flow(CONTENT).chunk_size(8);
    let (client, stalled) = file.trickle(1);
    let script = async {
        client.bring(b"abcd").await;
        // A pause in which what has come is written out.
        client.bring(b"").await;
        let fresh = file.octet(1).await;
        client.bring(awake).await;
        drop(client);
        fresh
    };
    let (fresh, stalled) = tokio::join!(script, stalled);
    (fresh, stalled, file.post(2).await)
}

#[test]
fn a_fresh_request_takes_over_from_a_stalled_one() {
    Machine::new().process(async |app| {
        let began = tokio::time::Instant::now();
        let (fresh, stalled, last) = stall(app, b"efgh").await;
        fresh.assert_status(200);
        stalled.assert_status(200);
        last.assert_status(201);
        app.assert_one_creative(CONTENT.as_bytes()).await;
        // Not later than the body's idle timeout would have ended the stalled one.
        assert!(began.elapsed() < CLAIM_STALL + Duration::from_secs(1));
    });
}

#[test]
fn a_stalled_writer_that_wakes_with_other_bytes_is_told_and_mixes_in_nothing() {
    Machine::new().process(async |app| {
        let (fresh, stalled, last) = stall(app, b"XXXX").await;
        fresh.assert_status(200);
        stalled.assert_problem(409, "conflict");
        last.assert_status(201);
        app.assert_one_creative(CONTENT.as_bytes()).await;
    });
}

#[test]
fn a_stalled_writer_that_wakes_to_too_few_bytes_is_told() {
    Machine::new().process(async |app| {
        let (fresh, stalled, last) = stall(app, b"e").await;
        fresh.assert_status(200);
        stalled.assert_problem(400, "invalid_length");
        last.assert_status(201);
        app.assert_one_creative(CONTENT.as_bytes()).await;
    });
}

#[test]
fn a_stalled_writer_does_not_hold_the_memory_that_its_successor_waits_for() {
    // Of two MiB one and a half are for bodies on their way; a writer holds up to one of them.
    const LEN: usize = 1_500_000;
    let machine = Machine::new().flag("--memory-budget=2MiB");
    machine.process(async |app| {
        let files = [1, 2].map(|n| app.flow(vec![n; LEN]).name(&n.to_string()).chunk_size(LEN));
        let takeovers = files.iter().map(async |file| {
            let (client, stalled) = file.trickle(1);
            let script = async {
                for frame in file.content()[..750_000].chunks(75_000) {
                    client.bring(frame).await;
                }
                let fresh = file.octet(1).await;
                client.bring(&file.content()[750_000..]).await;
                drop(client);
                fresh
            };
            tokio::join!(script, stalled)
        });
        for (fresh, stalled) in join_all(takeovers).await {
            fresh.assert_status(201);
            stalled.assert_status(200);
        }
        assert_eq!(app.creatives().await.len(), 2);
    });
}

#[test]
fn a_duplicate_waits_for_the_writer_and_is_then_compared() {
    for (bytes, status) in [("abcdefgh", 200), ("abcdefgX", 409)] {
        Machine::new().process(async |app| {
            let file = app.flow(CONTENT).chunk_size(8);
            let (client, writer) = file.trickle(1);
            let script = async {
                client.bring(b"abcd").await;
                client.bring(b"").await;
                let mut duplicate = pin!(file.post_bytes(1, bytes.as_bytes()));
                for _ in 0..100 {
                    assert!(poll!(&mut duplicate).is_pending(), "it waits");
                    tokio::task::yield_now().await;
                }
                file.probe(1).await.assert_status(204);
                client.bring(b"efgh").await;
                drop(client);
                duplicate.await
            };
            let (duplicate, writer) = tokio::join!(script, writer);
            writer.assert_status(200);
            duplicate.assert_status(status);
            file.send([2]).await.assert_status(201);
            app.assert_one_creative(CONTENT.as_bytes()).await;
        });
    }
}

#[test]
fn other_bytes_for_a_stored_chunk_are_refused_and_change_nothing() {
    Machine::new().process(async |app| {
        let file = app.flow(CONTENT).chunk_size(8);
        file.send([1]).await;
        file.post_bytes(1, b"abcdefgX").await.assert_problem(409, "conflict");
        file.post_bytes(1, b"Xbcdefgh").await.assert_problem(409, "conflict");
        file.send([1]).await.assert_status(200);
        file.send([2]).await.assert_status(201);
        file.post_bytes(2, b"ABCDEFGX").await.assert_problem(409, "conflict");
        app.assert_one_creative(CONTENT.as_bytes()).await;
    });
}

/// Brings chunk 1 in a way that must fail, by its name; gives the answer.
async fn bring_badly(app: &TestApp, how: &str) -> Reply {
    let file = app.flow(CONTENT).chunk_size(8);
    let (client, answer) = file.trickle(1);
    match how {
        "cut off" => {
            let cut = async {
                client.bring(b"abcd").await;
                client.bring(b"").await;
                client.cut().await;
            };
            tokio::join!(cut, answer).1
        }
        "silent" => {
            let silence = async {
                client.bring(b"abcd").await;
                client.bring(b"").await;
                client
            };
            tokio::join!(silence, answer).1
        }
        "short" => {
            let short = async {
                client.bring(b"abcd").await;
                drop(client);
            };
            tokio::join!(short, answer).1
        }
        "long" => {
            let long = async {
                client.bring(b"abcdefgh").await;
                client.bring(b"i").await;
                drop(client);
            };
            tokio::join!(long, answer).1
        }
        "short form" => file.post_bytes(1, b"abcdefg").await,
        "long form" => file.post_bytes(1, b"abcdefghi").await,
        "corrupt" => {
            let digest = sha256_hex(b"abcdefgh");
            file.clone().with("chunk_sha256", digest).post_bytes(1, b"abcdefgX").await
        }
        how => panic!("nobody knows how to be {how}"),
    }
}

const BAD: [(&str, u16, &str); 7] = [
    ("cut off", 400, "incomplete_body"),
    ("silent", 408, "request_timeout"),
    ("short", 400, "invalid_length"),
    ("long", 400, "invalid_length"),
    ("short form", 400, "invalid_length"),
    ("long form", 400, "invalid_length"),
    ("corrupt", 400, "checksum_mismatch"),
];

#[test]
fn a_first_chunk_that_does_not_arrive_whole_leaves_no_trace() {
    for (how, status, code) in BAD {
        let machine = Machine::new();
        machine.process(async |app| {
            bring_badly(app, how).await.assert_problem(status, code);
            idle().await;
            assert_eq!(machine.files().await, (0, 0), "{how}: no file");
            assert_eq!(machine.uploads().await, 0, "{how}: no row");
            let file = app.flow(CONTENT).chunk_size(8);
            file.probe(1).await.assert_status(204);
            file.lookup().await.assert_status(404);
            file.send([1, 2]).await.assert_status(201);
            app.assert_one_creative(CONTENT.as_bytes()).await;
        });
    }
}

#[test]
fn a_later_chunk_that_does_not_arrive_whole_leaves_the_others() {
    for (how, status, code) in BAD {
        let machine = Machine::new();
        machine.process(async |app| {
            let file = app.flow(CONTENT).chunk_size(8);
            file.send([2]).await;
            bring_badly(app, how).await.assert_problem(status, code);
            idle().await;
            file.probe(1).await.assert_status(204);
            file.probe(2).await.assert_status(200);
            file.send([1]).await.assert_status(201);
            app.assert_one_creative(CONTENT.as_bytes()).await;
        });
    }
}

#[test]
fn whoever_only_drips_does_not_keep_a_range_from_a_fresh_request() {
    const DRIPS: u32 = 32;
    Machine::new().process(async |app| {
        let file = app.flow(vec![b'x'; 2 * DRIPS as usize]).chunk_size(DRIPS as usize);
        let (client, dripping) = file.trickle(1);
        let dripped = Cell::new(0);
        let drips = async {
            for _ in 0..DRIPS {
                client.bring(b"x").await;
                tokio::time::advance(CLAIM_STALL * 3 / 5).await;
                dripped.set(dripped.get() + 1);
            }
            drop(client);
        };
        let fresh = async {
            let reply = file.octet(1).await;
            assert!(dripped.get() < DRIPS / 2, "it waited for {} drips", dripped.get());
            reply
        };
        let (dripping, (), fresh) = tokio::join!(dripping, drips, fresh);
        fresh.assert_status(200);
        dripping.assert_status(200);
        file.send([2]).await.assert_status(201);
    });
}

#[test]
fn whoever_brings_enough_keeps_a_range_however_long_it_takes() {
    const DRIPS: usize = 8;
    /// More than a writer must bring within a stall, and less.
    const PARTS: [usize; 2] = [5 * 1024, 4 * 1024];
    Machine::new().process(async |app| {
        let len = PARTS.iter().sum::<usize>() * DRIPS;
        let file = app.flow(vec![b'x'; 2 * len]).chunk_size(len);
        let (client, slow) = file.trickle(1);
        let is_done = Cell::new(false);
        let drips = async {
            for _ in 0..DRIPS {
                for part in PARTS {
                    client.bring(&vec![b'x'; part]).await;
                    idle().await;
                    tokio::time::advance(CLAIM_STALL * 2 / 5).await;
                }
            }
            is_done.set(true);
            drop(client);
        };
        let fresh = async {
            let reply = file.octet(1).await;
            assert!(is_done.get(), "it took over from a writer that made progress");
            reply
        };
        let (slow, (), fresh) = tokio::join!(slow, drips, fresh);
        slow.assert_status(200);
        fresh.assert_status(200);
    });
}

#[test]
fn a_duplicate_that_comes_in_parts_is_compared_part_by_part() {
    Machine::new().process(async |app| {
        let file = app.flow("hello world, are you there?").chunk_size(8);
        file.send([1, 2]).await;
        for (bytes, status) in [(b"rld, are", 200), (b"rld, arE", 409)] {
            let (client, answer) = file.trickle(2);
            let script = async {
                for part in bytes.chunks(3) {
                    client.bring(part).await;
                }
                drop(client);
            };
            let (answer, ()) = tokio::join!(answer, script);
            answer.assert_status(status);
        }
        file.send([3]).await.assert_status(201);
    });
}

#[test]
fn whoever_was_taken_over_from_does_not_take_over_in_turn() {
    Machine::new().process(async |app| {
        let file = app.flow(CONTENT).chunk_size(8);
        let ((first, stalled), (second, slow)) = (file.trickle(1), file.trickle(1));
        let script = async {
            first.bring(b"abcd").await;
            first.bring(b"").await;
            // Read once it is the second one's turn.
            second.bring(b"ab").await;
            second.bring(b"").await;
            first.bring(b"efgh").await;
            drop(first);
            idle().await;
            tokio::time::advance(CLAIM_STALL * 2).await;
            idle().await;
            second.bring(b"cdefgh").await;
            drop(second);
        };
        let (stalled, slow, ()) = tokio::join!(stalled, slow, script);
        slow.assert_status(200);
        stalled.assert_status(200);
        file.send([2]).await.assert_status(201);
        app.assert_one_creative(CONTENT.as_bytes()).await;
    });
}

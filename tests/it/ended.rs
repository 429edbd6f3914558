//! What has ended takes nothing more: a chunk that is on its way ends with its upload, and at its
//! own last byte.

use std::time::Duration;

use flowstitch::upload::limits::CLAIM_STALL;
use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, join_all},
};
use tokio::time::{Instant, advance};

use crate::support::{FlowFile, Machine, Reply, TestApp, Trickle, idle};

/// How a chunk is on its way when its upload ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnItsWay {
    /// Its bytes are the whole body.
    Octet,
    /// It is the file of a form.
    Form,
    /// It is the file of a form, and so small that it is kept until the form has ended.
    SmallForm,
    /// It waits for another request that writes the same chunk.
    Waits,
    /// A newer request has taken it over, and it only follows.
    Follows,
    /// It is stored, and compared.
    Compared,
}

const ALL: [OnItsWay; 6] = [
    OnItsWay::Octet,
    OnItsWay::Form,
    OnItsWay::SmallForm,
    OnItsWay::Waits,
    OnItsWay::Follows,
    OnItsWay::Compared,
];

/// Requests that wait for the other half of their chunk.
type Halves<'a> = Vec<(Trickle, LocalBoxFuture<'a, Reply>)>;

/// A file of three chunks of zeros.
fn file(app: &TestApp, how: OnItsWay) -> FlowFile<'_> {
    let chunk = if how == OnItsWay::SmallForm { 20_000 } else { 100_000 };
    app.flow(vec![0; 3 * chunk]).name("a.png").chunk_size(chunk)
}

/// Brings half of a chunk.
async fn begin<'a>(
    (client, answer): (Trickle, impl Future<Output = Reply> + 'a),
    chunk: &[u8],
) -> (Trickle, LocalBoxFuture<'a, Reply>) {
    let mut answer = answer.boxed_local();
    assert!(futures_util::poll!(&mut answer).is_pending());
    idle().await;
    client.bring(&chunk[..chunk.len() / 2]).await;
    idle().await;
    (client, answer)
}

/// Chunk 2 on its way.
async fn on_its_way<'a>(file: &FlowFile<'a>, how: OnItsWay) -> Halves<'a> {
    let chunk = file.chunk(2);
    match how {
        OnItsWay::Octet => vec![begin(file.trickle(2), chunk).await],
        OnItsWay::Form | OnItsWay::SmallForm => vec![begin(file.trickle_form(2), chunk).await],
        OnItsWay::Waits => {
            vec![begin(file.trickle(2), chunk).await, begin(file.trickle(2), chunk).await]
        }
        OnItsWay::Follows => {
            let first = begin(file.trickle(2), chunk).await;
            let second = begin(file.trickle(2), chunk).await;
            advance(CLAIM_STALL).await;
            idle().await;
            vec![first, second]
        }
        OnItsWay::Compared => {
            file.octet(2).await.assert_status(200);
            vec![begin(file.trickle(2), chunk).await]
        }
    }
}

/// Each request is answered at once, though its client is silent and stays.
async fn assert_told(halves: Halves<'_>, how: OnItsWay) {
    let ended = Instant::now();
    let (clients, answers): (Vec<_>, Vec<_>) = halves.into_iter().unzip();
    for answer in join_all(answers).await {
        answer.assert_problem(415, "upload_gone");
    }
    assert!(ended.elapsed() < Duration::from_secs(1), "{how:?}: {:?}", ended.elapsed());
    drop(clients);
}

#[test]
fn a_chunk_on_its_way_ends_with_a_cancel() {
    for how in ALL {
        let machine = Machine::new();
        machine.process(async |app| {
            let file = file(app, how);
            let id = file.octet(1).await.assert_status(200).upload_id();
            let halves = on_its_way(&file, how).await;
            app.delete(&format!("/uploads/{id}")).await.assert_status(204);
            assert_told(halves, how).await;
            idle().await;
            assert_eq!(machine.files().await, (0, 0), "{how:?}: it left bytes behind");
        });
    }
}

#[test]
fn a_chunk_on_its_way_ends_with_a_cancel_by_the_operator() {
    for how in ALL {
        Machine::new().process(async |app| {
            let file = file(app, how);
            let id = file.octet(1).await.assert_status(200).upload_id();
            let halves = on_its_way(&file, how).await;
            app.control(&format!("/uploads/{id}/cancel")).await.assert_status(200);
            assert_told(halves, how).await;
        });
    }
}

#[test]
fn a_chunk_on_its_way_ends_when_the_file_is_refused() {
    for how in ALL {
        Machine::new().flag("--accept=image/*").process(async |app| {
            let file = file(app, how);
            file.octet(3).await.assert_status(200);
            let halves = on_its_way(&file, how).await;
            file.octet(1).await.assert_problem(415, "type_not_accepted");
            assert_told(halves, how).await;
        });
    }
}

#[test]
fn a_chunk_that_is_longer_than_it_said_is_refused_at_the_first_byte_too_many() {
    for how in [OnItsWay::Octet, OnItsWay::Form, OnItsWay::SmallForm, OnItsWay::Compared] {
        Machine::new().process(async |app| {
            let file = file(app, how);
            file.octet(1).await.assert_status(200);
            let (client, mut answer) = on_its_way(&file, how).await.remove(0);
            let chunk = file.chunk(2);
            client.bring(&chunk[chunk.len() / 2..]).await;
            idle().await;
            assert!(futures_util::poll!(&mut answer).is_pending(), "{how:?}: it may end here");
            client.bring(b"x").await;
            let came = Instant::now();
            answer.await.assert_problem(400, "invalid_length");
            assert!(came.elapsed() < Duration::from_secs(1), "{how:?}: {:?}", came.elapsed());
        });
    }
}

#[test]
fn a_chunk_of_an_upload_that_begins_and_ends_meanwhile_is_not_kept() {
    Machine::new().process(async |app| {
        let file = file(app, OnItsWay::SmallForm);
        let (client, answer) = begin(file.trickle_form(2), file.chunk(2)).await;
        let id = file.octet(1).await.assert_status(200).upload_id();
        client.bring(b"x").await;
        idle().await;
        app.delete(&format!("/uploads/{id}")).await.assert_status(204);
        assert_told(vec![(client, answer)], OnItsWay::SmallForm).await;
    });
}

#[test]
fn who_leaves_while_it_waits_for_another_writer_is_not_waited_for() {
    Machine::new().process(async |app| {
        let file = file(app, OnItsWay::Waits);
        file.octet(1).await.assert_status(200);
        let mut halves = on_its_way(&file, OnItsWay::Waits).await;
        let (waits, mut waiter) = halves.remove(1);
        let (client, writer) = halves.remove(0);
        waits.cut().await;
        idle().await;
        assert!(futures_util::poll!(&mut waiter).is_pending(), "its first half is not looked at");
        let chunk = file.chunk(2);
        client.bring(&chunk[chunk.len() / 2..]).await;
        drop(client);
        writer.await.assert_status(200);
        waiter.await.assert_problem(400, "incomplete_body");

        // One that has sent nothing yet is noticed at once.
        let (slow, other) = begin(file.trickle(3), file.chunk(3)).await;
        let (leaves, answer) = file.trickle(3);
        let mut answer = answer.boxed_local();
        assert!(futures_util::poll!(&mut answer).is_pending());
        idle().await;
        let began = Instant::now();
        leaves.cut().await;
        answer.await.assert_problem(400, "incomplete_body");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        drop(slow);
        other.await.assert_problem(400, "invalid_length");
    });
}

//! Room on the disk: an upload has all of it from its first chunk on, or is refused; and some is
//! left alone.

use flowstitch::store::MemoryStore;
use http::Method;

use crate::support::{Machine, TestApp, idle};

/// 27 bytes in six chunks.
const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;

#[test]
fn of_uploads_that_cannot_all_fit_some_complete_and_the_others_when_there_is_room_again() {
    let machine = Machine::with_disk(MemoryStore::with_room(60)).flag("--reserve-free=0");
    machine.process(async |app| {
        let [a, b, c] = ["a.bin", "b.bin", "c.bin"].map(|name| app.flow(CONTENT).name(name));
        // All at once: two fit.
        let (of_a, of_b, of_c) = tokio::join!(a.post(1), b.post(1), c.post(1));
        let statuses = [&of_a, &of_b, &of_c].map(|reply| reply.status.as_u16());
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 2, "{statuses:?}");
        let refused = [&of_a, &of_b, &of_c].into_iter().find(|reply| reply.status != 200);
        refused.expect("one of them").assert_problem(507, "no_space");
        let mut left = Vec::new();
        for (file, reply) in [(a, of_a), (b, of_b), (c, of_c)] {
            if reply.status == 200 {
                file.send(2..=COUNT).await.assert_status(201);
            } else {
                left.push(file);
            }
        }
        assert_eq!((app.creatives().await.len(), left.len()), (2, 1));
        let waits = left.remove(0);
        waits.post(1).await.assert_problem(507, "no_space");
        // Room comes back, and the client goes on as if nothing had been.
        let url = format!("/creatives/{}", app.creatives().await[0]["id"].as_str().expect("an id"));
        app.delete(&url).await.assert_status(204);
        waits.send(1..=COUNT).await.assert_status(201);
        assert_eq!(app.creatives().await.len(), 2);
    });
}

#[test]
fn the_room_that_is_to_stay_free_stays_free() {
    let machine = Machine::with_disk(MemoryStore::with_room(100)).flag("--reserve-free=20");
    machine.process(async |app| {
        let too_large = app.flow(vec![1; 81]).name("large.bin");
        let detail = too_large.post(1).await.assert_problem(507, "no_space");
        assert!(detail.contains("space"), "{detail}");
        idle().await;
        assert_eq!(machine.files().await, (0, 0));
        // What a running upload has reserved counts, though most of it is still to come.
        let running = app.flow(vec![2; 60]).chunk_size(10).name("running.bin");
        running.post(1).await.assert_status(200);
        let next = app.flow(vec![3; 21]).name("next.bin");
        next.post(1).await.assert_problem(507, "no_space");
        let small = app.flow(vec![3; 20]).name("small.bin");
        small.send(1..=small.count()).await.assert_status(201);
        running.send(2..=6).await.assert_status(201);
    });
}

/// What the caller with this token keeps reserved, and may, by `/limits`.
async fn reserved(app: &TestApp, token: &str) -> (u64, Option<u64>) {
    let limits = app.call_as(token, Method::GET, "/limits").await.json();
    let reserved = limits["reserved_bytes"].as_u64().expect("a number");
    (reserved, limits["max_reserved_bytes"].as_u64())
}

#[test]
fn one_user_keeps_at_most_a_quarter_of_the_free_disk_for_what_has_not_arrived() {
    let machine = Machine::with_disk(MemoryStore::with_room(1000)).flag("--reserve-free=0");
    machine.process(async |app| {
        let ann = app.token("ann", "upload,read").await;
        let bob = app.token("bob", "upload,read").await;
        assert_eq!(reserved(app, &ann).await, (0, Some(250)));
        let file = |token: &str, name: &str, len: usize| {
            app.flow(vec![7; len]).chunk_size(10).name(name).by(token)
        };
        let detail = file(&ann, "a", 251).post(1).await.assert_problem(507, "no_space");
        for part in ["251 bytes", "250 in all", "max_reserved_share", "cancel"] {
            assert!(detail.contains(part), "{part} is not in {detail}");
        }
        // One byte of a declared file, again and again: the others have their room all the same.
        let large = file(&ann, "b", 250);
        large.post(1).await.assert_status(200);
        assert_eq!(reserved(app, &ann).await, (240, Some(247)));
        file(&ann, "c", 20).post(1).await.assert_problem(507, "no_space");
        assert_eq!(reserved(app, &bob).await, (0, Some(187)));
        file(&bob, "d", 187).post(1).await.assert_status(200);
        // A file in one chunk takes room as it comes, and reserves none.
        let whole = app.flow(vec![7; 200]).chunk_size(200).name("e").by(&bob);
        whole.post(1).await.assert_status(201);
        // What has arrived is not counted.
        large.send(2..=20).await.assert_status(200);
        assert_eq!(reserved(app, &ann).await.0, 50);
        file(&ann, "c", 20).post(1).await.assert_status(200);
    });
}

#[test]
fn whoever_is_alone_may_reserve_all_there_is_unless_the_operator_says_otherwise() {
    let machine = Machine::with_disk(MemoryStore::with_room(1000)).flag("--reserve-free=0");
    machine.process(async |app| {
        let file = app.flow(vec![7; 600]).chunk_size(10).name("a");
        file.post(1).await.assert_status(200);
        // With one user, too; and two share.
        let ann = app.token("ann", "upload,read").await;
        let file =
            |name: &str, len: usize| app.flow(vec![7; len]).chunk_size(10).name(name).by(&ann);
        file("b", 300).post(1).await.assert_status(200);
        app.token("bob", "upload,read").await;
        file("c", 50).post(1).await.assert_problem(507, "no_space");
    });
    let machine = machine.reconfigured("--max-reserved-share=none");
    machine.process(async |app| {
        let ann = app.token("ann", "upload,read").await;
        app.flow(vec![7; 50]).chunk_size(10).name("c").by(&ann).post(1).await.assert_status(200);
    });

    let alone = Machine::with_disk(MemoryStore::with_room(1000)).flag("--reserve-free=0");
    alone.flag("--max-reserved-share=50 %").process(async |app| {
        let file = |name: &str, len: usize| app.flow(vec![7; len]).chunk_size(10).name(name);
        file("a", 501).post(1).await.assert_problem(507, "no_space");
        file("a", 500).post(1).await.assert_status(200);
    });
}

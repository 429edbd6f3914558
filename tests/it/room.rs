//! Room on the disk: an upload has all of it from its first chunk on, or is refused; and some is
//! left alone.

use flowstitch::store::MemoryStore;

use crate::support::{Machine, idle};

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

//! `kill -9` at many points: what was acknowledged is there, and the upload ends as if nothing had
//! been.

use std::{sync::mpsc, thread};

use crate::support::{FlowFile, Server, Setup, bytes, until};

#[test]
fn after_every_number_of_acknowledged_chunks_a_crash_loses_none_of_them() {
    const COUNT: usize = 4;
    let mut setup = Setup::new();
    for sent in 0..=COUNT {
        let file = FlowFile::new(&format!("{sent}.bin"), bytes(sent as u64, 4 * 1000 + 17), 1000);
        let server = setup.start();
        let mut connection = server.connect();
        // From the end, so that it is the order of arrival that counts, not that of the file.
        for number in (1..=COUNT).rev().take(sent) {
            let answer = file.post(&mut connection, number).expect("an answer");
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        }
        setup = server.kill_9();

        let server = setup.start();
        let (_, missing) = file.resume(&server);
        assert_eq!(missing, (1..=COUNT - sent).collect::<Vec<_>>());
        assert_eq!(server.creatives().len(), sent + 1);
        setup = server.kill_9();
    }
    assert_clean(&setup);
}

#[test]
fn a_crash_while_many_chunks_are_on_their_way_loses_no_acknowledged_one() {
    for (round, acknowledged) in [1, 3, 10, 25].into_iter().enumerate() {
        crash_under_load(&Setup::new(), round as u64, acknowledged);
    }
}

#[test]
fn relaxed_durability_survives_the_death_of_the_process_as_well() {
    for (round, acknowledged) in [2, 20].into_iter().enumerate() {
        let setup = Setup::new().flag("--durability=relaxed");
        crash_under_load(&setup, 100 + round as u64, acknowledged);
    }
}

/// Kills a server after so many acknowledgements, while four connections go on sending.
fn crash_under_load(setup: &Setup, seed: u64, acknowledged: usize) {
    const FILES: usize = 4;
    let files: Vec<FlowFile> = (0..FILES)
        .map(|i| FlowFile::new(&format!("{i}.bin"), bytes(seed * 10 + i as u64, 100_003), 10_000))
        .collect();
    let server = setup.start();
    // Room for all: a sender never waits for us to look.
    let room = files.iter().map(FlowFile::count).sum();
    let (acks, acked) = mpsc::sync_channel(room);
    let senders: Vec<_> = (0..FILES)
        .map(|i| {
            let (file, acks, mut connection) = (files[i].clone(), acks.clone(), server.connect());
            thread::spawn(move || {
                for number in 1..=file.count() {
                    // The end of the connection is the crash.
                    let Ok(answer) = file.post(&mut connection, number) else { return };
                    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                    acks.send((i, number)).ok();
                }
            })
        })
        .collect();
    drop(acks);
    let mut acked_before: Vec<_> = acked.iter().take(acknowledged).collect();
    let setup = server.kill_9();
    acked_before.extend(acked);
    for sender in senders {
        sender.join().expect("no panic");
    }

    let server = setup.start();
    for (i, file) in files.iter().enumerate() {
        let (_, missing) = file.resume(&server);
        let lost: Vec<_> =
            missing.iter().filter(|number| acked_before.contains(&(i, **number))).collect();
        assert!(lost.is_empty(), "chunks {lost:?} of file {i} were acknowledged and are gone");
    }
    assert_eq!(server.creatives().len(), FILES);
    let setup = server.kill_9();
    assert_clean(&setup);
}

#[test]
fn a_crash_anywhere_between_the_last_chunk_and_the_creative_gives_one_creative() {
    let mut setup = Setup::new();
    for round in 0..8 {
        let server = setup.start();
        let file = FlowFile::new(&format!("{round}.bin"), bytes(round, 300_000), 150_000);
        let mut connection = server.connect();
        file.post(&mut connection, 2).expect("an answer").assert_status(200);
        connection.send(&file.request(1)).expect("sent");
        // The more rounds, the later: each probe is a round trip.
        for _ in 0..round {
            file.probe(&mut server.connect(), 2).expect("an answer").assert_status(200);
        }
        setup = server.kill_9();

        let server = setup.start();
        file.resume(&server);
        let creatives = server.creatives();
        assert_eq!(creatives.len() as u64, round + 1, "{creatives:?}");
        setup = server.kill_9();
    }
    assert_clean(&setup);
}

#[test]
fn what_a_crash_cut_off_is_set_aside_at_the_next_start() {
    let server = Server::start();
    let file = FlowFile::new("a.bin", bytes(1, 100_000), 100_000);
    let request = file.request(1);
    let mut connection = server.connect();
    connection.send(&request[..60_000]).expect("sent");
    // Its place is made before the whole of it is here.
    until(|| has_part(server.setup()));
    let setup = server.kill_9();
    assert!(has_part(&setup));

    let server = setup.start();
    server.log().wait_for("Moved a file to the trash");
    until(|| !has_part(server.setup()));
    file.upload(&server);
}

/// Whether something of an upload lies in `incomplete/`.
fn has_part(setup: &Setup) -> bool {
    setup.files("incomplete").iter().any(|name| name.strip_suffix(".part").is_some())
}

/// Everything came to its end: nothing is left on the way, and no file is without its creative.
#[track_caller]
fn assert_clean(setup: &Setup) {
    let server = setup.start();
    let creatives = server.creatives().len();
    let setup = server.setup().clone();
    let (status, _) = server.terminated();
    assert!(status.success(), "{status}");
    assert_eq!(setup.files("incomplete"), Vec::<String>::new());
    assert_eq!(setup.files("completed").len(), creatives);
}

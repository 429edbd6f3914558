//! What stands on the disk: who may read it, and what is not followed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt, symlink},
    path::Path,
};

use crate::support::{FlowFile, Setup, bytes, run};

/// The mode of everything below this folder, by name.
fn modes(folder: &Path) -> BTreeMap<String, u32> {
    let mut modes = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        modes.insert(path.display().to_string(), metadata.permissions().mode() & 0o7777);
        if metadata.is_dir() {
            modes.extend(self::modes(&path));
        }
    }
    modes
}

#[test]
fn files_are_0640_and_folders_0750_whatever_the_umask() {
    for umask in ["000", "022", "077", "177"] {
        let places = ["--incomplete-dir=new/in", "--completed-dir=new/out"];
        let setup = Setup::new().after(&format!("umask {umask}"));
        let setup = places.into_iter().fold(setup, Setup::flag);
        let server = setup.start();
        let (whole, half) =
            (FlowFile::new("a.bin", bytes(1, 9), 100), FlowFile::new("b.bin", bytes(2, 200), 100));
        for file in [&whole, &half] {
            let answer = file.post(&mut server.connect(), 1).expect("an answer");
            assert!([200, 201].contains(&answer.status), "{answer:?}");
        }
        server.get("/readyz").assert_status(200);
        let modes = modes(setup.dir());
        // A folder of data, two in it, and the trash, the last three with a mark; two files, the
        // database, its journal and the index of it.
        let of = |mode| modes.values().filter(|it| **it == mode).count();
        assert_eq!((of(0o750), of(0o640)), (4, 8), "{umask}: {modes:?}");
        // The socket, which is for nobody else.
        let socket = setup.dir().join("flowstitch.db.sock");
        let socket = fs::symlink_metadata(socket).expect("it is there");
        assert!(socket.file_type().is_socket(), "{umask}");
        assert_eq!((socket.permissions().mode() & 0o777, modes.len()), (0o600, 13), "{modes:?}");
    }
}

#[test]
fn what_others_could_read_before_they_cannot_read_after_a_start() {
    let setup = Setup::new();
    setup.start().kill_9();
    let database = setup.dir().join("flowstitch.db");
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(&database, 0o666).expect("ours");
    open(&setup.dir().join("flowstitch.db-wal"), 0o644).expect("ours");
    let _server = setup.start();
    for (path, mode) in modes(setup.dir()).iter().filter(|(path, _)| path.contains(".db")) {
        assert_eq!(mode & 0o007, 0, "{path}: {mode:o}");
    }
    // What the operator gave the group stays.
    let mode = fs::metadata(&database).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_file_that_is_no_database_of_ours_stays_as_it_is() {
    let setup = Setup::new();
    let other = setup.dir().join("other.txt");
    fs::write(&other, "something else, and rather longer than a header\n".repeat(9)).expect("ours");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).expect("ours");
    let output = run(setup.dir(), &["--listen=127.0.0.1:0", "--database=other.txt"]);
    assert!(!output.status.success());
    let mode = fs::metadata(&other).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_link_in_the_place_of_the_database_is_refused() {
    let setup = Setup::new();
    let target = setup.dir().join("elsewhere.db");
    symlink(&target, setup.dir().join("flowstitch.db")).expect("made");
    let output = run(setup.dir(), &["--listen=127.0.0.1:0"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("symbolic link"), "{error}");
    assert!(!target.exists());
}

//! How often the binary syncs for each chunk, counted by strace in a run of its own, which strace
//! slows down: group commit shares more when chunks come faster, so this is more than there are.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{
    ground::Ground,
    load::Load,
    run::Measured,
    server::{Server, Subject},
};

/// Chunks of 1 MiB.
const CHUNKS: u64 = 128;

/// One round: `syncs-strict` and `syncs-relaxed`, per chunk. Nothing, if there is no strace.
pub(crate) fn measure(ground: &Ground, measured: &mut Measured) {
    for (name, flags) in [("syncs-strict", ""), ("syncs-relaxed", "--durability=relaxed")] {
        let folder = ground.fresh().expect("a folder");
        let server = Subject::flowstitch(flags).start(folder.path());
        if let Some(count) = count(&server, ground) {
            measured.number(name, count / f64::from(u32::try_from(CHUNKS).expect("few")));
        } else {
            crate::say("Not counted: syncs. strace is missing, or may not trace here.");
        }
    }
}

fn count(server: &Server, ground: &Ground) -> Option<f64> {
    let log = tempfile::NamedTempFile::new_in(ground.path()).expect("a file");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs", "-o"]);
    command.arg(log.path()).arg("-p").arg(server.id().to_string());
    let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
    let mut said = BufReader::new(strace.stderr.take().expect("piped")).lines();
    let attached = said.next().is_some_and(|line| line.is_ok_and(|line| line.contains("attached")));
    if attached {
        let completed = Some(server.completed());
        server.load(&Load { size: CHUNKS << 20, completed, ..Load::default() });
    }
    strace.kill().ok();
    strace.wait().ok();
    let calls = fs::read_to_string(log.path()).expect("a log");
    // A call that is interrupted by another's line is told in two.
    let syncs = calls.lines().filter(|line| line.contains("sync(") && !line.contains("resumed"));
    attached.then(|| f64::from(u32::try_from(syncs.count()).expect("few")))
}

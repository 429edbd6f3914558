//! What a generator sends: how much, in which pieces, by how many clients.

use std::path::PathBuf;

use clap::Args;

/// A load. Sizes are in bytes.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Load {
    /// Files of each client, one after another
    #[arg(long, default_value_t = 1)]
    pub(crate) files: usize,

    /// Bytes of each file
    #[arg(long, default_value_t = 1 << 30)]
    pub(crate) size: u64,

    /// Bytes of a chunk, as flow.js's chunkSize
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) chunk: u64,

    /// Clients at once
    #[arg(long, default_value_t = 1)]
    pub(crate) clients: usize,

    /// Connections of each client, as flow.js's simultaneousUploads
    #[arg(long, default_value_t = 3)]
    pub(crate) connections: usize,

    /// Send chunks as flow.js's method `octet`: fields in the query, nothing else in the body
    #[arg(long)]
    pub(crate) octet: bool,

    /// Ask for each chunk before it is sent, as flow.js's testChunks
    #[arg(long)]
    pub(crate) probes: bool,

    /// Ask for each chunk, and send none
    #[arg(long)]
    pub(crate) only_probes: bool,

    /// How often `--only-probes` asks for each
    #[arg(long, default_value_t = 1)]
    pub(crate) repeat: usize,

    /// Leave the last chunk of each file out, so that none completes
    #[arg(long)]
    pub(crate) unfinished: bool,

    /// Send the chunks of a file from its end to its beginning
    #[arg(long)]
    pub(crate) reverse: bool,

    /// What the names of the files begin with; another one for each run on the same server
    #[arg(long, default_value = "speed")]
    pub(crate) identifier_prefix: String,

    /// The server is a limit of ours: it completes nothing
    #[arg(long)]
    pub(crate) bare: bool,

    /// The folder of finished files, in which each is compared with what was sent
    #[arg(long, value_name = "DIR")]
    pub(crate) completed: Option<PathBuf>,
}

impl Default for Load {
    /// One file of 1 GiB, as flow.js sends it unless it is told otherwise, but for its probes.
    fn default() -> Self {
        Self {
            files: 1,
            size: 1 << 30,
            chunk: 1 << 20,
            clients: 1,
            connections: 3,
            octet: false,
            probes: false,
            only_probes: false,
            repeat: 1,
            unfinished: false,
            reverse: false,
            identifier_prefix: "speed".to_owned(),
            bare: false,
            completed: None,
        }
    }
}

impl Load {
    /// The same as arguments.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--files={}", self.files),
            format!("--size={}", self.size),
            format!("--chunk={}", self.chunk),
            format!("--clients={}", self.clients),
            format!("--connections={}", self.connections),
            format!("--repeat={}", self.repeat),
            format!("--identifier-prefix={}", self.identifier_prefix),
        ];
        let switches = [
            ("--octet", self.octet),
            ("--probes", self.probes),
            ("--only-probes", self.only_probes),
            ("--unfinished", self.unfinished),
            ("--reverse", self.reverse),
            ("--bare", self.bare),
        ];
        arguments.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()));
        arguments.extend(self.completed.iter().map(|dir| format!("--completed={}", dir.display())));
        arguments
    }

    /// Whether there are files that complete.
    pub(crate) fn completes(&self) -> bool {
        !self.bare && !self.only_probes && !self.unfinished
    }

    /// Divides what is sent by this, but keeps a chunk or two.
    pub(crate) fn shrink(&mut self, by: u64) {
        self.size = (self.size / by).max(self.chunk.min(self.size));
        self.files = (self.files / usize::try_from(by).unwrap_or(usize::MAX)).max(1);
        self.repeat = (self.repeat / usize::try_from(by).unwrap_or(usize::MAX)).max(1);
    }

    /// Bytes of all files of all clients.
    pub(crate) fn bytes(&self) -> u64 {
        self.size * (self.files * self.clients) as u64
    }
}

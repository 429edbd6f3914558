//! Settings from a command line, an environment and a file to a configuration.

use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

use flowstitch::{
    config::{
        self, AllowedOrigin, Cli, Command, Config, LogFormat, MailServer, Schedule, Settings,
        SmtpTls,
    },
    upload::{DigestKind, Durability, Quotas, Reserve, Share},
};
use tempfile::TempDir;

/// The three sources, before they are read.
struct Given {
    folder: TempDir,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Given {
    fn nothing() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, flags: Vec::new(), variables: Vec::new() }
    }

    fn flags(mut self, line: &str) -> Self {
        self.flags = line.split_whitespace().map(Into::into).collect();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn file(self, text: &str) -> Self {
        fs::write(self.default_file(), text).expect("a file");
        self
    }

    fn default_file(&self) -> PathBuf {
        self.folder.path().join(config::DEFAULT_FILE)
    }

    fn load(&self) -> Result<Config, String> {
        let line = ["flowstitch".into()].into_iter().chain(self.flags.iter().cloned());
        let cli = Cli::read(line).map_err(|error| error.to_string())?;
        let owned = |(name, value): &(String, String)| -> (OsString, OsString) {
            (name.into(), value.into())
        };
        config::load(&cli, self.variables.iter().map(owned), &self.default_file())
            .map_err(|error| error.to_string())
    }

    fn config(&self) -> Config {
        self.load().expect("a configuration")
    }

    /// Asserts that there is no configuration, and that the error says all of `words`.
    fn refused(&self, words: &[&str]) {
        let error = self.load().expect_err("must be refused");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_interface() {
    let config = Given::nothing().config();
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    let places = [&config.incomplete_dir, &config.completed_dir, &config.database];
    assert_eq!(
        places,
        ["./incomplete", "./completed", "./flowstitch.db"].map(PathBuf::from).each_ref()
    );
    assert_eq!(config.control_socket, PathBuf::from("./flowstitch.db.sock"));
    let elsewhere = Given::nothing().flags("--database /srv/facts").config();
    assert_eq!(elsewhere.control_socket, PathBuf::from("/srv/facts.sock"), "beside the database");
    assert_eq!(config.durability, Durability::Strict);
    assert_eq!(config.digest, DigestKind::Sha256);
    assert_eq!(config.memory_budget, 32 << 20);
    assert_eq!(config.upload_ttl, Duration::from_hours(24));
    assert_eq!(config.cors_origins, []);
}

#[test]
fn flags_go_before_variables_before_the_file_before_defaults() {
    let given = Given::nothing().file("stitch_workers = 3\nstitch_queue = 3\nmax_connections = 3");
    let given = given.variable("FLOWSTITCH_STITCH_WORKERS", "4");
    let given = given.variable("FLOWSTITCH_STITCH_QUEUE", "4").flags("--stitch-workers 5");
    let config = given.config();
    let counts = (config.stitch_workers, config.stitch_queue, config.max_connections);
    assert_eq!(counts, (5, 4, 3));
    assert_eq!(config.memory_budget, Config::default().memory_budget);
}

/// Other quotas than the defaults.
const OTHER_QUOTAS: Quotas = Quotas {
    uploads: None,
    upload_bytes: Some(2 << 30),
    stored_bytes: Some(3 << 30),
    stored_files: Some(17),
};

/// Nothing as it is by default.
fn other() -> Config {
    Config {
        listen: ([0, 0, 0, 0], 0).into(),
        admin_listen: Some(([127, 0, 0, 1], 9090).into()),
        allow_anonymous: true,
        ticket_key: Some("key".into()),
        ticket_jwks: Some("keys.json".into()),
        auth_url: "https://auth.example.com/verify".parse().expect("an address"),
        auth_user_header: "x-forwarded-user".parse().expect("a name"),
        auth_scopes: "upload,read,admin".parse().expect("scopes"),
        auth_cache: Duration::from_secs(20),
        data_dir: "/srv/data".into(),
        incomplete_dir: "/srv/in".into(),
        completed_dir: "/srv/out".into(),
        trash_dir: "/srv/bin".into(),
        database: "/srv/facts.db".into(),
        database_exclusive: true,
        control_socket: "/run/flowstitch.sock".into(),
        time_zone: jiff::tz::TimeZone::get("Asia/Tokyo").expect("a zone"),
        durability: Durability::Relaxed,
        digest: DigestKind::Blake3,
        schedule: Schedule::Required,
        max_file_size: 1_234_567,
        accept: ["image/*", ".pdf"].map(|kind| kind.parse().expect("a kind")).to_vec(),
        quotas: OTHER_QUOTAS,
        max_reserved_share: Share::Percent(40),
        reserve_free: Reserve::Bytes(4096),
        memory_budget: 96 << 20,
        max_connections: 11,
        max_connections_per_address: 14,
        max_streams: 15,
        max_streams_per_caller: 16,
        max_requests: Some(15),
        max_new_uploads: Some(16),
        rate_window: Duration::from_secs(17),
        min_progress: Some(18),
        progress_window: Duration::from_secs(19),
        trusted_proxies: ["10.0.0.0/8", "::1"].map(|it| it.parse().expect("a proxy")).to_vec(),
        stitch_workers: 12,
        stitch_reads_back: true,
        stitch_queue: 13,
        upload_ttl: Duration::from_hours(7 * 24),
        result_ttl: Duration::from_secs(61),
        cancel_grace: Duration::from_millis(1500),
        tombstone_ttl: Duration::from_mins(90),
        audit_ttl: Some(Duration::from_hours(24 * 30)),
        trash_ttl: Duration::from_hours(24),
        sweep_interval: Duration::from_secs(2),
        completion_wait: Duration::ZERO,
        scan_command: "/usr/bin/scan --quiet -".into(),
        scan_clamd: "/run/clamd.sock".into(),
        scan_timeout: Duration::from_mins(2),
        body_idle_timeout: Duration::from_secs(3),
        shutdown_timeout: Duration::from_secs(4),
        cors_origins: ["https://a.example.com", "https://*.example.org:8443"]
            .map(|origin| origin.parse().expect("an origin"))
            .to_vec(),
        public_url: "https://up.example.com".parse().expect("an address"),
        mail: other_mail(),
        session_ttl: Duration::from_mins(20),
        session_max: Duration::from_hours(2),
        tls_cert: Some("/srv/cert.pem".into()),
        tls_key: Some("/srv/key.pem".into()),
        log_format: LogFormat::Json,
        log: "info,flowstitch=debug".parse().expect("a filter"),
        adopt: false,
    }
}

#[test]
fn every_setting_can_be_set_by_each_source() {
    let other = other();
    let printed = other.to_toml();
    assert_eq!(Given::nothing().file(&printed).config(), other, "{printed}");

    let table: toml::Table = printed.parse().expect("what is printed is TOML");
    let default = Config::default().to_toml().parse::<toml::Table>().expect("TOML");
    let (mut flags, mut variables) = (Given::nothing(), Given::nothing());
    for (key, value) in &table {
        assert_ne!(default.get(key), Some(value), "{key} is not tested: it has its default");
        flags.flags.extend([format!("--{}", key.replace('_', "-")), typed(value)]);
        variables =
            variables.variable(&format!("FLOWSTITCH_{}", key.to_uppercase()), &typed(value));
    }
    assert_eq!(flags.config(), other);
    assert_eq!(variables.config(), other);
}

fn other_mail() -> MailServer {
    MailServer {
        host: "127.0.0.1".into(),
        port: 2525,
        tls: SmtpTls::None,
        user: "up".into(),
        password_file: Some("/srv/password".into()),
        from: "Uploads <up@example.com>".parse().expect("a sender"),
    }
}

/// A value of a file as it is typed after a flag.
fn typed(value: &toml::Value) -> String {
    match value {
        toml::Value::Array(items) => items.iter().map(typed).collect::<Vec<_>>().join(","),
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn the_printed_defaults_give_the_defaults() {
    let printed = Config::default().to_toml();
    assert_eq!(Given::nothing().file(&printed).config(), Config::default(), "{printed}");
    let settings: Settings = toml::from_str(&printed).expect("settings");
    assert_eq!(settings, Config::default().to_settings());
}

#[test]
fn the_data_dir_moves_all_places_together() {
    let config = Given::nothing().flags("--data-dir /srv --database /fast/facts.db").config();
    assert_eq!(config.incomplete_dir, PathBuf::from("/srv/incomplete"));
    assert_eq!(config.completed_dir, PathBuf::from("/srv/completed"));
    assert_eq!(config.trash_dir, PathBuf::from("/srv/trash"));
    assert_eq!(config.database, PathBuf::from("/fast/facts.db"));
}

#[test]
fn plain_numbers_are_bytes_and_seconds() {
    let config = Given::nothing().file("memory_budget = 8388608\nupload_ttl = 90").config();
    assert_eq!(config.memory_budget, 8 << 20);
    assert_eq!(config.upload_ttl, Duration::from_secs(90));
}

#[test]
fn a_named_file_is_read_and_must_be_there() {
    let given = Given::nothing().file("stitch_workers = 3");
    let named = given.folder.path().join("other.toml");
    let named = named.to_str().expect("temporary folders have plain names");
    let by_flag = given.flags(&format!("--config {named}"));
    by_flag.refused(&["other.toml", "cannot read"]);
    fs::write(named, "stitch_workers = 7").expect("a file");
    assert_eq!(by_flag.config().stitch_workers, 7);
    let by_variable = Given::nothing().variable("FLOWSTITCH_CONFIG", named);
    assert_eq!(by_variable.config().stitch_workers, 7);
    assert_eq!(Given::nothing().flags("config").config(), Config::default());
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let given = Given::nothing().file("listen = \"0.0.0.0:80\"\nmemory_buget = \"1 GiB\"");
    given.refused(&["flowstitch.toml", "memory_buget", "did you mean memory_budget?"]);
    Given::nothing().file("[server]\nport = 1").refused(&["flowstitch.toml", "\"server\""]);
    Given::nothing()
        .variable("FLOWSTITCH_LISTN", "0.0.0.0:80")
        .refused(&["FLOWSTITCH_LISTN", "did you mean FLOWSTITCH_LISTEN?"]);
    Given::nothing().variable("FLOWSTITCH_XYZZY", "").refused(&["FLOWSTITCH_XYZZY", "--help"]);
    Given::nothing().variable("FLOWSTITCH_listen", "").refused(&["FLOWSTITCH_listen"]);
    Given::nothing().flags("--lisen 0.0.0.0:80").refused(&["--lisen", "--listen"]);
}

#[test]
fn variables_of_others_and_empty_ones_are_left_alone() {
    let given = Given::nothing()
        .variable("PATH", "/bin")
        .variable("RUST_LOG", "nonsense=nonsense")
        .variable("FLOWSTITCH_PORT", "tcp://10.0.0.1:8080")
        .variable("FLOWSTITCH_PORT_8080_TCP_ADDR", "10.0.0.1")
        .variable("FLOWSTITCH_SERVICE_HOST", "10.0.0.1")
        .variable("FLOWSTITCH_SERVICE_PORT", "8080")
        .variable("FLOWSTITCH_WEB_SERVICE_HOST", "10.0.0.1")
        .variable("FLOWSTITCH_WEB_SERVICE_PORT_HTTP", "8080")
        .variable("FLOWSTITCH_WEB_PORT", "tcp://10.0.0.1:8080")
        .variable("FLOWSTITCH_WEB_PORT_8080_TCP", "tcp://10.0.0.1:8080")
        .variable("FLOWSTITCH_WEB_PORT_8080_TCP_PROTO", "tcp")
        .variable("FLOWSTITCH_WEB_PORT_53_UDP_ADDR", "10.0.0.1")
        .variable("FLOWSTITCH_SMTP_PORT", "tcp://10.0.0.1:25")
        .variable("FLOWSTITCH_LISTEN", "")
        .variable("FLOWSTITCH_CONFIG", "");
    assert_eq!(given.config(), Config::default());
}

#[test]
fn malformed_values_are_refused_with_their_place() {
    let cases = [
        ("listen", "localhost:8080", "127.0.0.1:8080"),
        ("memory_budget", "lots", "256 MiB"),
        ("max_uploads", "some", "none"),
        ("upload_ttl", "1 month", "24h"),
        ("time_zone", "Middle/Earth", "IANA"),
        ("durability", "sometimes", "relaxed"),
        ("digest", "md5", "blake3"),
        ("schedule", "maybe", "required"),
        ("log_format", "xml", "json"),
        ("log", "flowstitch=loud", "log filter"),
        ("cors_origins", "https://a.org/", "without a path"),
        ("accept", "pdf", "or .pdf"),
        ("accept", "*/*", "name no kind"),
        ("public_url", "up.example.com", "https://"),
        ("trusted_proxies", "10.0.0.1/8", "or a network"),
        ("smtp_from", "up", "name@example.com"),
        ("smtp_tls", "maybe", "starttls"),
    ];
    for (key, value, reason) in cases {
        let flag = format!("--{}", key.replace('_', "-"));
        Given::nothing().flags(&format!("{flag}={}", value.replace(' ', ""))).refused(&[&flag]);
        let variable = format!("FLOWSTITCH_{}", key.to_uppercase());
        Given::nothing().variable(&variable, value).refused(&[&variable, reason]);
        let list = ["accept", "cors_origins", "trusted_proxies"].contains(&key);
        let value = if list { format!("[{value:?}]") } else { format!("{value:?}") };
        let line = format!("# first line\n{key} = {value}");
        Given::nothing().file(&line).refused(&["flowstitch.toml", "line 2", key, reason]);
    }
    Given::nothing().file("stitch_workers = -1").refused(&["flowstitch.toml", "line 1"]);
    Given::nothing().file("memory_budget = true").refused(&["line 1", "a text or a whole number"]);
    Given::nothing().file("listen = ").refused(&["flowstitch.toml", "line 1"]);
}

#[test]
fn contradictions_are_refused_with_key_place_and_reason() {
    for (line, reason) in [
        ("stitch_workers = 0", "0 is not within 1 and 256"),
        ("stitch_workers = 257", "257 is not within 1 and 256"),
        ("stitch_queue = 0", "within 1 and"),
        ("max_connections = 0", "within 1 and"),
        ("max_connections_per_address = 0", "within 1 and"),
        ("max_uploads = 0", "use none"),
        ("max_stored_bytes = \"0 B\"", "use none"),
        ("max_stored_files = \"0\"", "use none"),
        ("max_requests = 0", "use none"),
        ("max_new_uploads = \"2000000000\"", "not within 1 and"),
        ("min_progress = 0", "use none"),
        ("rate_window = 0", "zero"),
        ("progress_window = 0", "zero"),
        ("memory_budget = \"1 MiB\"", "1 MiB is not within 2 MiB and 1 TiB"),
        ("max_file_size = 0", "within 1 B and"),
        ("max_file_size = \"16 EiB\"", "within 1 B and"),
        ("completion_wait = \"6 min\"", "6m is not within 0s and 5m"),
        ("upload_ttl = 0", "zero"),
        ("audit_ttl = 0", "zero"),
        ("sweep_interval = 0", "zero"),
        ("body_idle_timeout = 0", "zero"),
        ("scan_timeout = 0", "zero"),
        ("result_ttl = \"48h\"", "48h is longer than tombstone_ttl (24h)"),
        ("cancel_grace = \"25h\"", "25h is longer than tombstone_ttl (24h)"),
        ("completed_dir = \"./incomplete\"", "same folder as incomplete_dir"),
        ("trash_dir = \"./incomplete\"", "the trash its own"),
        ("trash_dir = \"./completed\"", "the trash its own"),
        ("trash_dir = \"\"", "empty"),
        ("trash_ttl = 0", "zero"),
        ("data_dir = \"\"", "empty"),
        ("database = \"\"", "empty"),
        ("cors_origins = [\"*\", \"https://a.org\"]", "* alone"),
        ("tls_cert = \"cert.pem\"", "set tls_key, too"),
        ("tls_key = \"key.pem\"", "set tls_cert, too"),
        ("smtp_user = \"up\"", "without smtp_password_file"),
        ("smtp_password_file = \"password\"", "without smtp_user"),
        ("session_ttl = \"13h\"", "13h is not within 1m and 12h"),
    ] {
        let (key, _) = line.split_once(' ').expect("a key, then its value");
        Given::nothing().file(line).refused(&[key, "set in", "flowstitch.toml", reason]);
    }
    Given::nothing()
        .flags("--stitch-workers 0")
        .refused(&["stitch_workers (set by --stitch-workers)"]);
    Given::nothing()
        .variable("FLOWSTITCH_STITCH_WORKERS", "0")
        .refused(&["stitch_workers (set by FLOWSTITCH_STITCH_WORKERS)"]);
    Given::nothing().flags("--tombstone-ttl 5s").refused(&["result_ttl (by default)"]);
}

#[test]
fn codes_are_sent_in_the_clear_to_this_machine_only_and_never_from_nobody() {
    let mail = |line: &str| Given::nothing().flags(&format!("--smtp-from up@example.com {line}"));
    mail("--smtp-tls none --smtp-host mail.example.com").refused(&["smtp_tls", "starttls"]);
    mail("--smtp-tls none --smtp-host 127.0.0.1.example.com").refused(&["smtp_tls"]);
    for here in ["localhost", "127.0.0.1", "::1"] {
        let config = mail(&format!("--smtp-tls none --smtp-host {here}")).config();
        assert_eq!(config.mail.port, 25);
    }
    assert_eq!(mail("--smtp-host mail.example.com").config().mail.port, 587);
    assert_eq!(mail("--smtp-host mail.example.com --smtp-tls tls").config().mail.port, 465);
    Given::nothing().flags("--smtp-host mail.example.com").refused(&["smtp_from (by default)"]);
}

#[test]
fn settings_stand_before_or_after_the_command() {
    for line in ["--listen [::1]:1", "serve --listen [::1]:1", "--listen [::1]:1 serve"] {
        assert_eq!(Given::nothing().flags(line).config().listen.to_string(), "[::1]:1", "{line}");
    }
    let commands = [
        ("", Command::Serve),
        ("serve", Command::Serve),
        ("config", Command::Config),
        ("migrate", Command::Migrate { dry_run: false }),
        ("migrate --dry-run", Command::Migrate { dry_run: true }),
    ];
    for (line, command) in commands {
        let line = format!("flowstitch {line}");
        let cli = Cli::read(line.split_whitespace()).expect("a command line");
        assert_eq!(cli.command(), command, "{line}");
    }
    assert!(Cli::read(["flowstitch", "fly"]).is_err());
}

#[test]
fn help_lists_every_setting_with_default_and_variable() {
    for line in [["flowstitch", "serve", "--help"], ["flowstitch", "--help", ""]] {
        let error = Cli::read(line).expect_err("help is shown, not a command line");
        assert_eq!(error.exit_code(), 0);
        let help = error.to_string();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let table: toml::Table = Config::default().to_toml().parse().expect("TOML");
        for (key, value) in &table {
            let flag = format!("--{} ", key.replace('_', "-"));
            let with = |bracket| words.contains(&format!("{flag}{bracket}"));
            assert!(with("<") || with("[<"), "{flag} is not in: {help}");
            let variable = format!("[env: FLOWSTITCH_{}]", key.to_uppercase());
            assert!(words.contains(&variable), "{variable} is not in: {help}");
            let default = typed(value);
            let default = if default.is_empty() { "none" } else { &default };
            let described = format!("[default: {default}] {variable}");
            assert!(words.contains(&described), "{described} is not in: {help}");
        }
        assert!(words.contains("--config <FILE>") && words.contains("FLOWSTITCH_CONFIG"), "{help}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let error = Cli::read(["flowstitch", "--version"]).expect_err("the version is shown");
    assert_eq!(error.exit_code(), 0);
    assert_eq!(error.to_string().trim(), concat!("flowstitch ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn origins_are_a_list_in_every_source() {
    let two = "https://a.example,https://b.example";
    let by_flag = Given::nothing().flags(&format!("--cors-origins {two}")).config();
    assert_eq!(by_flag.cors_origins.len(), 2);
    assert_eq!(Given::nothing().variable("FLOWSTITCH_CORS_ORIGINS", two).config(), by_flag);
    let file = "cors_origins = [\"https://a.example\", \"https://b.example\"]";
    assert_eq!(Given::nothing().file(file).config(), by_flag);
    let any = Given::nothing().flags("--cors-origins *").config();
    assert_eq!(any.cors_origins, [AllowedOrigin::Any]);
}

#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.expect("README.md");
    let (_, rest) = readme.split_once("| key | default |").expect("the table");
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let listed: Vec<String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            format!("{} = {}", cells[1].trim_matches('`'), cells[2].trim_matches('`'))
        })
        .collect();
    let defaults = Config::default().to_toml();
    assert_eq!(listed, defaults.lines().collect::<Vec<_>>());
}

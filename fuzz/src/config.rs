//! The file of settings.
//!
//! * A text is a configuration or is refused with words; nothing else happens.
//! * What is accepted is within its bounds, and its own printed form gives it again.
//! * A refused contradiction names the key that is to be changed.

use flowstitch::{
    config::{Config, Settings},
    upload::limits,
};

/// The input is a `flowstitch.toml`.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(settings) = read(text) else { return };
    let config = match settings.clone().resolve() {
        Ok(config) => config,
        Err(wrong) => {
            let table = toml::Table::try_from(Config::default().to_settings());
            assert!(table.expect("settings are a table").contains_key(wrong.key), "{wrong}");
            assert!(!wrong.reason.is_empty());
            return;
        }
    };
    check_bounds(&config);
    check_round_trip(&config);
    // What is set twice is set by the upper layer.
    assert_eq!(settings.clone().or(Config::default().to_settings()), {
        settings.or(Settings::default()).or(Config::default().to_settings())
    });
}

/// Reads a file as the program does.
fn read(text: &str) -> Option<Settings> {
    match Settings::from_toml(text) {
        Ok(settings) => Some(settings),
        Err(reason) => {
            assert!(!reason.trim().is_empty());
            None
        }
    }
}

fn check_bounds(config: &Config) {
    assert!((1..=limits::CONNECTIONS_BOUND).contains(&config.max_connections));
    assert!((1..=limits::STITCH_WORKERS_MAX).contains(&config.stitch_workers));
    assert!((1..=limits::STITCH_QUEUE_LEN_MAX).contains(&config.stitch_queue));
    assert!((1..=limits::FILE_LEN_BOUND).contains(&config.max_file_size));
    let budget = limits::MEMORY_BUDGET_MIN..=limits::MEMORY_BUDGET_MAX;
    assert!(budget.contains(&config.memory_budget));
    assert!(config.completion_wait <= limits::COMPLETION_WAIT_MAX);
    assert!(config.result_ttl <= config.tombstone_ttl);
    assert!(config.cancel_grace <= config.tombstone_ttl);
    let spans = [config.upload_ttl, config.sweep_interval, config.body_idle_timeout];
    assert!(spans.iter().all(|span| !span.is_zero() && *span <= limits::SPAN_MAX));
    assert!(config.tombstone_ttl <= limits::SPAN_MAX);
    assert_ne!(config.incomplete_dir, config.completed_dir);
}

fn check_round_trip(config: &Config) {
    let printed = config.to_toml();
    let again = read(&printed).unwrap_or_else(|| panic!("what is printed is read:\n{printed}"));
    let again = again.resolve().unwrap_or_else(|wrong| panic!("{wrong}:\n{printed}"));
    assert_eq!(again, *config, "{printed}");
    assert_eq!(again.to_toml(), printed);
}

//! What people read: the rows, and a table of everything, in Markdown.

use std::{fmt::Write as _, fs};

use crate::{
    rows::{Bound, Row, rows, wait_ms},
    run::{Measured, Turn},
    statistics::Spread,
};

/// The whole report.
pub(crate) fn report(measured: &Measured) -> String {
    let tables = [rows_table(&rows(measured)), cases_table(measured), numbers_table(measured)];
    format!("{}\n\n{}", measured.machine, tables.join("\n"))
}

/// The machine, in one line.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |name: &str| info.lines().find(|line| line.starts_with(name));
    let model = line("model name").and_then(|line| line.split_once(": ")).map(|(_, model)| model);
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} × {}, Linux {}", model.unwrap_or("unknown processor"), release.trim())
}

fn rows_table(rows: &[Row]) -> String {
    let mut table = "| # | measure | at least / at most | reached (min–max) | |\n\
                     | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for row in rows {
        let bound = match row.bound {
            Bound::AtLeast(bound) => format!("≥ {bound} {}", row.unit),
            Bound::AtMost(bound) => format!("≤ {bound} {}", row.unit),
        };
        let verdict = if row.is_reached() { "yes" } else { "**no**" };
        let reached = spread(row.reached);
        let (number, measure, unit) = (row.number, row.measure, row.unit);
        line(
            &mut table,
            &format!("| {number} | {measure} | {bound} | {reached} {unit} | {verdict} |"),
        );
    }
    table
}

fn cases_table(measured: &Measured) -> String {
    let columns = [
        "case",
        "MB/s",
        "CPU s/GB",
        "generator",
        "files/s",
        "requests/s",
        "CPU µs/request",
        "p50 / p99 / max ms",
        "wait ms",
        "peak MiB",
        "written/byte",
    ];
    let mut table = format!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()));
    for (name, turns) in &measured.turns {
        let of = |value: &dyn Fn(&Turn) -> f64| {
            Spread::of(turns.iter().map(value).collect()).map_or_else(String::new, spread)
        };
        let median = |value: &dyn Fn(&Turn) -> f64| {
            Spread::of(turns.iter().map(value).collect())
                .map_or_else(String::new, |spread| round(spread.median))
        };
        let latency = |turn: &Turn| {
            let outcome = &turn.outcome;
            if outcome.chunks.count == 0 { outcome.probes } else { outcome.chunks }
        };
        let cells = [
            of(&|turn| turn.outcome.mb_per_s),
            of(&Turn::cpu_s_per_gb),
            median(&generator_cpu_s_per_gb),
            of(&|turn| turn.outcome.files_per_s),
            median(&|turn| turn.outcome.requests_per_s),
            median(&Turn::cpu_us_per_request),
            [
                median(&|turn| latency(turn).p50_ms),
                median(&|turn| latency(turn).p99_ms),
                median(&|turn| latency(turn).max_ms),
            ]
            .join(" / "),
            median(&wait_ms),
            median(&|turn| turn.usage.peak_rss_mib),
            median(&Turn::written_per_byte),
        ];
        line(&mut table, &format!("| {name} | {} |", cells.join(" | ")));
    }
    table
}

fn numbers_table(measured: &Measured) -> String {
    let mut table = "| number | median (min–max) |\n| --- | --- |\n".to_owned();
    for (name, values) in &measured.numbers {
        let value = Spread::of(values.clone()).map_or_else(String::new, spread);
        line(&mut table, &format!("| {name} | {value} |"));
    }
    table
}

/// Of the generator; no number where it sent no bytes.
fn generator_cpu_s_per_gb(turn: &Turn) -> f64 {
    if turn.outcome.bytes == 0 { f64::NAN } else { turn.outcome.cpu_s_per_gb }
}

fn line(table: &mut String, text: &str) {
    writeln!(table, "{text}").expect("a string");
}

fn spread(spread: Spread) -> String {
    if spread.median.is_nan() {
        return "–".to_owned();
    }
    let Spread { median, min, max } = spread;
    format!("{} ({}–{})", round(median), round(min), round(max))
}

/// With three digits that mean something.
fn round(value: f64) -> String {
    match value.abs() {
        none if none.is_nan() => "–".to_owned(),
        large if 100.0 <= large => format!("{value:.0}"),
        middle if 10.0 <= middle => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

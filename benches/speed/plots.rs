//! The charts: throughput over time, and over the size of files.

use std::{fs, io, path::Path};

use crate::{
    chart::{Chart, Line},
    outcome::BIN_MS,
    run::{Measured, Turn},
    statistics::Spread,
};

/// The cases whose throughput is drawn over time, and what the legend calls them.
const OVER_TIME: [(&str, &str); 4] = [
    ("large-write", "limit that writes"),
    ("large-bare", "relaxed, no digest"),
    ("large-relaxed", "relaxed, SHA-256"),
    ("large-strict", "strict, SHA-256"),
];
const OVER_SIZE: [(&str, &str); 3] = [
    ("write", "limit that writes"),
    ("relaxed", "relaxed, SHA-256"),
    ("strict", "strict, SHA-256"),
];
/// In MiB, and as in the names of cases.
const SIZES: [(f64, &str); 5] =
    [(0.0625, "64-kib"), (1.0, "1-mib"), (16.0, "16-mib"), (256.0, "256-mib"), (2048.0, "2-gib")];

/// Draws what was measured: a chart of which there is nothing is not drawn.
pub(crate) fn draw(measured: &Measured, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, chart) in
        [("throughput.svg", over_time(measured)), ("sizes.svg", over_size(measured))]
    {
        if !chart.lines.is_empty() {
            fs::write(folder.join(name), chart.to_svg())?;
        }
    }
    Ok(())
}

fn over_time(measured: &Measured) -> Chart {
    let lines = OVER_TIME.iter().filter_map(|(case, name)| {
        let turn = typical(measured.turns.get(*case)?)?;
        let second =
            |bin: usize| Some(f64::from(u32::try_from(bin).ok()?) * f64::from(BIN_MS) / 1000.0);
        let points = (0..).map_while(second).zip(turn.outcome.series.iter().copied()).collect();
        Some(Line { name: (*name).to_owned(), points })
    });
    Chart {
        title: "One file of 2 GiB, 1 MiB chunks, 3 connections".to_owned(),
        x_label: "seconds".to_owned(),
        y_label: "MB/s acknowledged".to_owned(),
        x_marks: None,
        lines: lines.collect(),
    }
}

fn over_size(measured: &Measured) -> Chart {
    let point = |subject: &str, (mib, size): (f64, &str)| {
        let turns = measured.turns.get(&format!("sizes-{subject}-{size}"))?;
        let speeds = turns.iter().map(|turn| turn.outcome.mb_per_s).collect();
        Some((mib, Spread::of(speeds)?.median))
    };
    let lines = OVER_SIZE.iter().map(|(subject, name)| Line {
        name: (*name).to_owned(),
        points: SIZES.iter().filter_map(|size| point(subject, *size)).collect(),
    });
    let mark = |(mib, size): &(f64, &str)| {
        (*mib, size.replace("-kib", " KiB").replace("-mib", " MiB").replace("-gib", " GiB"))
    };
    Chart {
        title: "One client, 3 connections, 1 MiB chunks".to_owned(),
        x_label: "size of each file".to_owned(),
        y_label: "MB/s".to_owned(),
        x_marks: Some(SIZES.iter().map(mark).collect()),
        lines: lines.filter(|line| !line.points.is_empty()).collect(),
    }
}

/// The turn whose throughput is the median, or next to it.
fn typical(turns: &[Turn]) -> Option<&Turn> {
    let mut turns: Vec<_> = turns.iter().collect();
    turns.sort_by(|a, b| a.outcome.mb_per_s.total_cmp(&b.outcome.mb_per_s));
    turns.get(turns.len().checked_sub(1)? / 2).copied()
}

//! Days begin and end while files are uploaded, in zones of odd offsets, across changes of summer
//! time and on leap days. What was good for today stays good; what begins later belongs to
//! the next.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::Fault;
use crate::{
    audit,
    client::post,
    failure::Failure,
    ledger::FileId,
    report::Kind,
    round::Round,
    server::Server,
    wall::Wall,
    wire::{Answer, Connection},
};

/// A midnight: the zone, the moment, the day before it, the day after it. Looked up by hand, so
/// that a wrong table of zones in the server shows.
type Midnight = (&'static str, &'static str, &'static str, &'static str);

const MIDNIGHTS: [Midnight; 11] = [
    ("UTC", "2028-02-29T00:00:00Z", "2028-02-28", "2028-02-29"),
    ("UTC", "2028-03-01T00:00:00Z", "2028-02-29", "2028-03-01"),
    ("UTC", "2027-01-01T00:00:00Z", "2026-12-31", "2027-01-01"),
    ("Asia/Kathmandu", "2027-02-28T18:15:00Z", "2027-02-28", "2027-03-01"),
    ("Pacific/Chatham", "2026-12-31T10:15:00Z", "2026-12-31", "2027-01-01"),
    ("America/St_Johns", "2027-07-01T02:30:00Z", "2027-06-30", "2027-07-01"),
    ("Pacific/Kiritimati", "2027-05-31T10:00:00Z", "2027-05-31", "2027-06-01"),
    ("Pacific/Marquesas", "2028-02-29T09:30:00Z", "2028-02-28", "2028-02-29"),
    // The day before had 25 hours.
    ("America/New_York", "2027-11-08T05:00:00Z", "2027-11-07", "2027-11-08"),
    // The day before had 23 hours.
    ("Europe/Berlin", "2027-03-28T22:00:00Z", "2027-03-28", "2027-03-29"),
    // There is no midnight: after 23:59 it is one o'clock.
    ("America/Santiago", "2027-09-05T04:00:00Z", "2027-09-04", "2027-09-05"),
];

/// How far from midnight the clock is shown: more than a slow machine needs for what is done then.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

pub(crate) struct Passing;

#[async_trait]
impl Fault for Passing {
    fn name(&self) -> &'static str {
        "midnight"
    }

    fn about(&self) -> &'static str {
        "midnight in the configured zone passes during uploads; leap days, summer time"
    }

    fn quick_rounds(&self) -> u64 {
        2
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let wall = Wall::new(round).await?;
        let (zone, midnight, before, after) = MIDNIGHTS[round.rng.usize(..MIDNIGHTS.len())];
        let midnight: Timestamp = midnight.parse().expect("the table holds moments");
        let setup = wall.before(&round.setup).flag("--sweep-interval=20ms");
        let setup = setup.flag(format!("--time-zone={zone}"));
        wall.show(midnight - MARGIN)?;
        let server = setup.start().await?;
        let files = round.add_files(4, 2..=6);
        let scene = Scene { round, server: &server };
        let (dated, bare, late, next) = (files[0], files[1], files[2], files[3]);
        scene.begin(dated, Some(before)).await?;
        scene.begin(bare, None).await?;
        scene.is_refused(late, &yesterday(before), before).await?;
        scene.impossible(late).await?;

        wall.show(midnight + MARGIN)?;
        round.tally.hit();
        let scene = Scene { round, server: &server };
        scene.finish(dated, Some(before), before).await?;
        scene.finish(bare, None, after).await?;
        scene.is_refused(late, before, after).await?;
        scene.begin(next, Some("2032-02-29")).await?;
        scene.finish(next, Some("9999-12-31"), "9999-12-31").await?;
        scene.begin(late, None).await?;
        scene.finish(late, Some(after), after).await?;
        scene.listed(before, after).await?;
        audit::conclude(round, server).await
    }
}

/// The day before.
fn yesterday(day: &str) -> String {
    let day: jiff::civil::Date = day.parse().expect("the table holds days");
    day.yesterday().expect("inside the calendar").to_string()
}

/// A round, as it stands.
struct Scene<'a> {
    round: &'a Round,
    server: &'a Server,
}

impl Scene<'_> {
    /// Sends all of a file but the last chunk.
    async fn begin(&self, file: FileId, day: Option<&str>) -> Result<(), Failure> {
        let count = self.round.ledger.plan(file).count();
        for number in 1..count {
            let answer = self.send(file, number, day).await?;
            self.expect(&answer, 200, "a chunk");
        }
        Ok(())
    }

    /// Sends the last chunk; the creative then has this day.
    async fn finish(&self, file: FileId, day: Option<&str>, due: &str) -> Result<(), Failure> {
        let answer = self.send(file, self.round.ledger.plan(file).count(), day).await?;
        self.expect(&answer, 201, "the last chunk");
        if answer.json()["creative"]["scheduled_at"] != due {
            let detail = format!("{due} is due, and it was scheduled so: {}", answer.told());
            self.round.tally.broken(Kind::Other, detail);
        }
        Ok(())
    }

    async fn send(&self, file: FileId, number: u64, day: Option<&str>) -> Result<Answer, Failure> {
        self.round.ledger.sends(file, number);
        let answer = self.ask(file, number, day).await?;
        if matches!(answer.status, 200 | 201) {
            self.round.ledger.stored(file, number, &answer.json());
        }
        Ok(answer)
    }

    async fn ask(&self, file: FileId, number: u64, day: Option<&str>) -> Result<Answer, Failure> {
        let chunk = post(&self.round.ledger.plan(file), number);
        let request = day.map_or(chunk.clone(), |day| dated(&chunk, day));
        Ok(Connection::open(self.server.address()).await?.ask(&request).await?)
    }

    /// A day that is over is refused, with words that help, and nothing is left.
    async fn is_refused(&self, file: FileId, day: &str, today: &str) -> Result<(), Failure> {
        let answer = self.ask(file, 1, Some(day)).await?;
        self.expect(&answer, 400, "a day that is over");
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        let is_helpful =
            detail.contains(day) && detail.contains(&format!("today is {today}: name"));
        if answer.json()["code"] != "invalid_scheduled_at" || !is_helpful {
            let detail = format!("on {today}, {day} was refused with {}", answer.told());
            self.round.tally.broken(Kind::Other, detail);
        }
        self.leaves_nothing(file).await
    }

    /// Days that do not exist.
    async fn impossible(&self, file: FileId) -> Result<(), Failure> {
        for day in ["2027-02-29", "2100-02-29", "2028-02-30", "2028-2-29", "29.02.2028", "today"] {
            let answer = self.ask(file, 1, Some(day)).await?;
            self.expect(&answer, 400, day);
        }
        self.leaves_nothing(file).await
    }

    async fn leaves_nothing(&self, file: FileId) -> Result<(), Failure> {
        let name = &self.round.ledger.plan(file).name;
        let list = self.server.ask("GET", "/uploads?limit=1000").await?.json();
        let uploads = list["uploads"].as_array().map_or(&[][..], Vec::as_slice);
        let is_it = |upload: &serde_json::Value| upload["filename"] == name.as_str();
        if uploads.is_empty() || uploads.iter().any(is_it) {
            let detail = format!("{name} was refused, and the list is {list}");
            self.round.tally.broken(Kind::Leftover, detail);
        }
        Ok(())
    }

    /// What is scheduled for today, by the zone.
    async fn listed(&self, before: &str, after: &str) -> Result<(), Failure> {
        let list = self.server.ask("GET", "/scheduled").await?.json();
        let today = list["scheduled_creatives"]["today"].as_array().map_or(&[][..], Vec::as_slice);
        let is_today = |creative: &serde_json::Value| creative["scheduled_at"] == after;
        if today.len() != 2 || !today.iter().all(is_today) {
            let detail = format!("{before} is over, it is {after}, and today is {list}");
            self.round.tally.broken(Kind::Other, detail);
        }
        Ok(())
    }

    fn expect(&self, answer: &Answer, status: u16, what: &str) {
        self.round.ledger.answered();
        if answer.status != status {
            let detail = format!("{what}: {status} is due, and came {}", answer.told());
            self.round.tally.broken(Kind::Other, detail);
        }
    }
}

/// The chunk with a day, named beside its other fields.
fn dated(request: &[u8], day: &str) -> Vec<u8> {
    let end = request.windows(6).position(|bytes| bytes == b" HTTP/");
    let (path, rest) = request.split_at(end.expect("a request has a line"));
    let joint = if path.contains(&b'?') { "&" } else { "?" };
    [path, joint.as_bytes(), b"scheduled_at=", day.as_bytes(), rest].concat()
}

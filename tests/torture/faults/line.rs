//! A bad line: narrow, late, in small pieces, and cut after any number of bytes either way, while
//! unmodified clients upload through it.

use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    proxy::{Proxy, Weather},
    round::Round,
    server::in_time,
};

pub(crate) struct Line;

#[async_trait]
impl Fault for Line {
    fn name(&self) -> &'static str {
        "line"
    }

    fn about(&self) -> &'static str {
        "a narrow line that is cut after any number of bytes, either way"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let server = round.setup.start().await?;
        let tally = round.tally.clone();
        let draw = move |rng: &mut Rng| {
            let weather = weather(rng);
            if weather.up < u64::MAX || weather.down < u64::MAX {
                tally.hit();
            }
            weather
        };
        let proxy = Proxy::open(server.address(), round.rng.fork(), draw).await?;
        let files = round.add_files(if round.thorough { 8 } else { 4 }, 0..=12);
        let style = Style { connections: round.rng.usize(1..=4), copies: 1..=2, probes: true };
        let mut crew = round.send_to(&files, proxy.address(), &style);
        in_time("uploads over a bad line", crew.finished()).await?;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        drop(proxy);
        audit::conclude(round, server).await
    }
}

/// Most connections are cut, in the head of the first request or far behind it.
fn weather(rng: &mut Rng) -> Weather {
    let far = |rng: &mut Rng| {
        let most = [400, 3000, 200_000][rng.usize(..3)];
        rng.u64(..most)
    };
    let mut weather = Weather { reset: rng.bool(), ..Weather::FAIR };
    match rng.u8(..4) {
        0 | 1 => weather.up = far(rng),
        2 => weather.down = far(rng),
        _ => {}
    }
    if rng.bool() {
        weather.piece = rng.usize(1..20_000);
        weather.pace = (1000 < weather.piece).then(|| Duration::from_millis(rng.u64(1..=5)));
    }
    weather
}

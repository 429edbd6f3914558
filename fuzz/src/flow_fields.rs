//! The fields of flow.js, from a query and from a form.
//!
//! * Whatever is accepted is the geometry that plain arithmetic gives, and fits a catalog.
//! * A form says what the same query says.
//! * A probe, a lookup and a post of the same fields are of the same upload.
//! * A refusal has something to say, and says it in one short line.

use flowstitch::{
    dialect::{
        Rejection,
        flow::{Chunk, FlowFields, FlowRequest, Lookup, Post, Probe},
    },
    upload::{Plan, Principal, limits},
};

/// The input is a query string; behind a line break the header `Content-Digest`.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (query, digest) =
        text.split_once('\n').map_or((&*text, None), |(query, digest)| (query, Some(digest)));
    let Some(fields) = checked(FlowFields::from_query(query)) else { return };
    check_form(query, &fields);
    let anyone = Principal::anonymous();
    let post = checked(fields.post(&anyone).and_then(|post| post.with_content_digest(digest)));
    let probe = checked(fields.probe(&anyone));
    let lookup = checked(fields.lookup(&anyone));
    if let Some(FlowRequest { addressed: Post::Chunk(chunk), .. }) = &post {
        check_chunk(chunk, query);
    }
    if let Some(FlowRequest { addressed: Post::Whole(whole), .. }) = &post {
        for total in [0, 1, limits::FILE_LEN_BOUND - 1] {
            let identity = checked(whole.identity(total));
            let plan = identity.map(|identity| identity.plan());
            assert!(plan.is_none_or(|plan| (plan.count(), plan.total()) == (1, total)));
        }
    }
    if let Some(FlowRequest { addressed: Probe::Chunk(chunk), .. }) = &probe {
        check_chunk(chunk, query);
    }
    check_agreement(post.as_ref(), probe.as_ref(), lookup.as_ref());
}

fn checked<T>(read: Result<T, Rejection>) -> Option<T> {
    let rejection = match read {
        Ok(read) => return Some(read),
        Err(rejection) => rejection,
    };
    let Rejection { code, detail, .. } = rejection;
    assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte)));
    assert!(!detail.is_empty() && detail.len() < 2000, "{detail:?}");
    assert!(!detail.contains(char::is_control), "{detail:?}");
    None
}

/// The same fields one by one, as a form brings them, are the same.
fn check_form(query: &str, fields: &FlowFields) {
    let mut form = FlowFields::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        checked(form.set(&name, value.into_owned())).expect("the query was accepted");
    }
    // Bytes that are not UTF-8 are passed over in fields that we do not know, and refused in ours.
    assert_eq!(form, *fields);
    assert_eq!(form.clone().over(fields.clone()), *fields);
    assert_eq!(FlowFields::default().over(form), *fields);
}

/// The value of a field of the query, as a number of any size.
fn number(query: &str, field: &str) -> Option<u128> {
    let values = form_urlencoded::parse(query.as_bytes());
    let mut values = values.filter(|(name, value)| name == field && !value.is_empty());
    values.next().and_then(|(_, value)| value.parse().ok())
}

/// The place of a chunk by plain arithmetic, in numbers that cannot overflow.
fn check_chunk(chunk: &Chunk, query: &str) {
    let plan = chunk.identity.plan();
    assert_eq!(Plan::new(plan.total(), plan.stride(), plan.count()), Ok(plan));
    let numbers = [plan.total(), plan.stride(), plan.count(), chunk.range.end()];
    assert!(numbers.iter().all(|number| i64::try_from(*number).is_ok()), "{numbers:?}");
    assert!(plan.count() <= limits::PIECE_COUNT_MAX && chunk.index < plan.count());
    assert_eq!((plan.index_of(chunk.range), plan.piece(chunk.index)), {
        (Some(chunk.index), Some(chunk.range))
    });

    let nth = number(query, "flowChunkNumber").unwrap_or(1) - 1;
    let total = number(query, "flowTotalSize").expect("a chunk has a file");
    assert_eq!(u128::from(chunk.index), nth);
    if plan.count() == 1 {
        assert_eq!((chunk.range.offset(), u128::from(chunk.range.len())), (0, total));
        return;
    }
    let size = number(query, "flowChunkSize").expect("several chunks have a size");
    assert_eq!(u128::from(chunk.range.offset()), nth * size);
    let is_last = chunk.index + 1 == plan.count();
    let end = if is_last { total } else { (nth + 1) * size };
    assert_eq!(u128::from(chunk.range.end()), end);
    assert!(u128::from(chunk.range.len()) < 2 * size);
}

/// All three ask about one upload, and about one chunk of it.
fn check_agreement(
    post: Option<&FlowRequest<Post>>,
    probe: Option<&FlowRequest<Probe>>,
    lookup: Option<&FlowRequest<Lookup>>,
) {
    let Some(FlowRequest { addressed: Post::Chunk(posted), .. }) = post else { return };
    if let Some(FlowRequest { addressed: Probe::Chunk(probed), .. }) = probe {
        assert_eq!(posted, probed);
    }
    if let Some(FlowRequest { addressed: Lookup::Upload(identity, filename), .. }) = lookup {
        assert_eq!((&posted.identity, &posted.filename), (identity, filename));
        assert_eq!(posted.identity.key(), identity.key());
    }
}

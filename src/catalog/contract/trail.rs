//! The audit trail: a line for each deed, in the same transaction, and none for what had no effect.

use super::{
    Fact, Shared, commit, know, open, open_complete, open_ended, open_full, sample_by,
    sample_creative, sample_day, sample_range, sample_time, sample_upload, sample_upload_of,
    sample_user,
};
use crate::{
    catalog::{AuditQuery, CatalogError},
    upload::{
        AuditEntry, By, CreativeId, Deed, Durability, EndReason, Means, Principal, Scopes, TokenId,
        TokenKind, TokenRecord, UploadId, UploadRecord, UploadState, User,
    },
};

const ALL: AuditQuery = AuditQuery { since: None, principal: None, upload: None, limit: 100 };

/// Each test with a catalog of its own.
pub(super) async fn run_all<F, Fut>(make: &F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Shared>,
{
    what_becomes_of_an_upload_stands_in_the_trail(make().await).await;
    what_is_done_to_a_creative_stands_in_the_trail(make().await).await;
    what_is_done_to_users_and_tokens_stands_in_the_trail(make().await).await;
    what_had_no_effect_left_no_line(make().await).await;
    a_batch_that_is_refused_leaves_no_line(make().await).await;
    lines_are_found_by_time_by_principal_and_by_upload(make().await).await;
    lines_go_by_their_age_alone(make().await).await;
}

/// The lines that the query finds, the oldest first.
async fn lines(catalog: &Shared, query: &AuditQuery) -> Vec<AuditEntry> {
    let mut lines = catalog.trail().entries(query).await.expect("read");
    lines.reverse();
    lines
}

/// What was done to what of whom, and what else is said of it.
async fn deeds(catalog: &Shared) -> Vec<(Deed, String, String, Option<String>)> {
    let lines = lines(catalog, &ALL).await.into_iter();
    lines.map(|line| (line.deed, line.principal, line.subject, line.detail)).collect()
}

/// By somebody with a token, from somewhere.
fn by_token(id: TokenId, ms: i64) -> By {
    By {
        at: sample_time(ms),
        means: Means::Token(id),
        address: Some("2001:db8::1".parse().expect("an address")),
        request_id: Some("r-1".into()),
    }
}

/// An upload of ann's that is opened by this request.
async fn open_by(catalog: &Shared, by: By) -> UploadRecord {
    let record = sample_upload_of(&Principal::named("ann"), "x");
    let (upload, stored) = (record.id, sample_range(0, 10));
    let facts = vec![
        Fact::Opened(Box::new(record.clone())),
        Fact::OpenedBy { upload, by: Box::new(by) },
        Fact::Stored { upload, stored, at: sample_time(0) },
    ];
    commit(&**catalog, facts).await;
    record
}

fn a_token(user: &Principal) -> TokenRecord {
    TokenRecord {
        id: TokenId::new(),
        user: user.clone(),
        label: String::new(),
        hash: crate::upload::Sha256Digest([3; 32]),
        scopes: Scopes::all(),
        kind: TokenKind::Key,
        created_at: sample_time(0),
        expires_at: None,
        used_at: None,
        revoked_at: None,
    }
}

async fn what_becomes_of_an_upload_stands_in_the_trail(catalog: Shared) {
    let ann = Principal::named("ann");
    know(&*catalog, &ann).await;
    let (token, before) = (TokenId::new(), lines(&catalog, &ALL).await.len());
    let upload = open_by(&catalog, by_token(token, 5)).await;
    let opened = AuditEntry {
        at: sample_time(5),
        deed: Deed::UploadOpened,
        principal: "ann".into(),
        subject: upload.id.to_string(),
        upload: Some(upload.id),
        detail: Some("cat.png".into()),
        means: format!("token {token}"),
        address: Some("2001:db8::1".into()),
        request_id: Some("r-1".into()),
    };
    assert_eq!(lines(&catalog, &ALL).await[before..], [opened]);

    let reason = Some(EndReason("not wanted".into()));
    let by = By::server(sample_time(6));
    assert!(catalog.end(upload.id, UploadState::Failed, reason, &by).await.expect("ended"));
    let failed = lines(&catalog, &ALL).await.pop().expect("a line");
    assert_eq!((failed.deed, failed.upload), (Deed::UploadFailed, Some(upload.id)));
    assert_eq!((failed.means, failed.detail), ("server".into(), Some("not wanted".into())));

    let words = [
        (UploadState::Cancelled, Deed::UploadCancelled),
        (UploadState::Expired, Deed::UploadExpired),
    ];
    for (state, deed) in words {
        open_ended(&*catalog, &sample_upload(state.as_str()), state).await;
        assert_eq!(lines(&catalog, &ALL).await.pop().expect("a line").deed, deed);
    }

    let done = open_complete(&*catalog, &sample_upload_of(&ann, "y")).await;
    let line = lines(&catalog, &ALL).await.pop().expect("a line");
    assert_eq!((line.deed, line.at), (Deed::UploadCompleted, done.created_at));
    assert_eq!(
        (line.subject, line.detail),
        (done.upload_id.to_string(), Some(done.id.to_string()))
    );
}

async fn what_is_done_to_a_creative_stands_in_the_trail(catalog: Shared) {
    let creative = open_complete(&*catalog, &sample_upload("x")).await;
    let before = lines(&catalog, &ALL).await.len();
    let (day, by) = (sample_day("2026-12-24"), by_token(TokenId::new(), 8));
    catalog.reschedule(creative.id, day, &by).await.expect("rescheduled");
    catalog.delete_creative(creative.id, &by).await.expect("deleted");
    let entry = |deed, detail: &str| {
        let entry = by.entry(deed, &creative.principal, &creative.id);
        entry.of_upload(creative.upload_id).saying(detail)
    };
    let both = [
        entry(Deed::CreativeRescheduled, "2026-12-24"),
        entry(Deed::CreativeDeleted, creative.filename.as_str()),
    ];
    assert_eq!(lines(&catalog, &ALL).await[before..], both);
}

async fn what_is_done_to_users_and_tokens_stands_in_the_trail(catalog: Shared) {
    let (users, ann) = (catalog.directory(), Principal::named("ann"));
    let by = sample_by(3);
    users.add_user(&sample_user(&ann), &by).await.expect("added");
    let token = a_token(&ann);
    users.add_token(&token, &by).await.expect("added");
    users.revoke_token(token.id, &by).await.expect("taken back");
    users.disable_user(&ann, Some(sample_time(3)), &by).await.expect("disabled");
    users.disable_user(&ann, None, &by).await.expect("enabled");
    for email in [Some("ann@example.com"), None] {
        users.set_email(&ann, email, &by).await.expect("changed");
    }
    users.remove_user(&ann, &by).await.expect("removed");
    catalog.trail().note(&by.entry(Deed::TicketIssued, &ann, "t")).await.expect("noted");
    let line = |deed, subject: &str, detail: Option<String>| {
        (deed, "ann".to_owned(), subject.to_owned(), detail)
    };
    let id = token.id.to_string();
    let all = [
        line(Deed::UserAdded, "ann", None),
        line(Deed::TokenCreated, &id, Some(token.scopes.to_string())),
        line(Deed::TokenRevoked, &id, None),
        line(Deed::UserDisabled, "ann", None),
        line(Deed::UserEnabled, "ann", None),
        line(Deed::UserEmailChanged, "ann", None),
        line(Deed::UserEmailChanged, "ann", None),
        line(Deed::UserRemoved, "ann", None),
        line(Deed::TicketIssued, "t", None),
    ];
    assert_eq!(deeds(&catalog).await, all);
    let times = lines(&catalog, &ALL).await.into_iter().map(|line| (line.at, line.means));
    assert!(times.into_iter().all(|it| it == (sample_time(3), "operator".into())));
}

async fn what_had_no_effect_left_no_line(catalog: Shared) {
    let (users, ann) = (catalog.directory(), Principal::named("ann"));
    let (by, nobody) = (sample_by(3), Principal::named("nobody"));
    let ann_with = User { email: Some("ann@example.com".into()), ..sample_user(&ann) };
    users.add_user(&ann_with, &by).await.expect("added");
    users.add_user(&sample_user(&Principal::named("bob")), &by).await.expect("added");
    let over = sample_upload("over");
    open_ended(&*catalog, &over, UploadState::Failed).await;
    let full = sample_upload("full");
    open_full(&*catalog, &full).await;
    let before = deeds(&catalog).await;

    let (late, stranger) = (UploadId::new(), sample_upload_of(&nobody, "x"));
    let opened_by = |upload| Fact::OpenedBy { upload, by: Box::new(sample_by(4)) };
    let facts =
        vec![opened_by(late), Fact::Opened(Box::new(stranger.clone())), opened_by(stranger.id)];
    catalog.commit(facts, Durability::Strict).await.expect("committed");
    let again = catalog.end(over.id, UploadState::Cancelled, None, &by).await;
    assert!(!again.expect("it had ended"));
    assert!(!catalog.end(full.id, UploadState::Expired, None, &by).await.expect("it is full"));
    assert!(!catalog.complete(&sample_creative(&over)).await.expect("it had ended"));
    catalog.reschedule(CreativeId::new(), sample_day("2026-12-24"), &by).await.expect("nothing");
    catalog.delete_creative(CreativeId::new(), &by).await.expect("nothing");
    users.add_user(&sample_user(&ann), &by).await.expect("taken");
    users.disable_user(&nobody, None, &by).await.expect("unknown");
    users.set_email(&nobody, None, &by).await.expect("unknown");
    let anns = ann_with.email.as_deref();
    users.set_email(&Principal::named("bob"), anns, &by).await.expect("taken");
    users.remove_user(&nobody, &by).await.expect("unknown");
    users.add_token(&a_token(&nobody), &by).await.expect("of nobody");
    users.revoke_token(TokenId::new(), &by).await.expect("unknown");
    assert_eq!(deeds(&catalog).await, before);
}

async fn a_batch_that_is_refused_leaves_no_line(catalog: Shared) {
    let first = sample_upload("x");
    open(&*catalog, &first).await;
    let before = deeds(&catalog).await;
    let (good, rival) = (sample_upload("y"), sample_upload("x"));
    let opened = |record: &UploadRecord| Fact::Opened(Box::new(record.clone()));
    let by = Fact::OpenedBy { upload: good.id, by: Box::new(sample_by(1)) };
    let refused = catalog.commit(vec![opened(&good), by, opened(&rival)], Durability::Strict);
    assert!(matches!(refused.await, Err(CatalogError::Taken)));
    assert_eq!(deeds(&catalog).await, before);
}

async fn lines_are_found_by_time_by_principal_and_by_upload(catalog: Shared) {
    let (ann, trail) = (Principal::named("ann"), catalog.trail());
    let upload = UploadId::new();
    let [first, second, third, fourth] = [
        sample_by(10).entry(Deed::TokenCreated, &ann, "1"),
        sample_by(30).entry(Deed::UploadOpened, &ann, "2").of_upload(upload),
        sample_by(20).entry(Deed::UploadOpened, &Principal::named("bob"), "3"),
        sample_by(30).entry(Deed::CreativeDeleted, &Principal::named("bob"), "4").of_upload(upload),
    ];
    for line in [&first, &second, &third, &fourth] {
        trail.note(line).await.expect("noted");
    }
    let found = |query: AuditQuery| async move { trail.entries(&query).await.expect("read") };
    let all = [&fourth, &third, &second, &first].map(Clone::clone);
    assert_eq!(found(ALL).await, all, "the newest first, whatever the clock said");
    assert_eq!(found(AuditQuery { limit: 2, ..ALL }).await, all[..2]);
    assert_eq!(found(AuditQuery { since: Some(sample_time(20)), ..ALL }).await, all[..3]);
    assert_eq!(found(AuditQuery { since: Some(sample_time(31)), ..ALL }).await, []);
    let anns = AuditQuery { principal: Some("ann".into()), ..ALL };
    assert_eq!(found(anns.clone()).await, [second.clone(), first]);
    let of_it = AuditQuery { upload: Some(upload), ..ALL };
    assert_eq!(found(of_it).await, [fourth, second.clone()]);
    let (since, upload) = (Some(sample_time(11)), Some(upload));
    assert_eq!(found(AuditQuery { since, upload, ..anns }).await, [second]);
}

async fn lines_go_by_their_age_alone(catalog: Shared) {
    let (ann, trail) = (Principal::named("ann"), catalog.trail());
    for (ms, subject) in [(30, "c"), (10, "a"), (20, "b"), (40, "d")] {
        trail.note(&sample_by(ms).entry(Deed::UserAdded, &ann, subject)).await.expect("noted");
    }
    let prune = |ms, limit| async move { trail.prune(sample_time(ms), limit).await.expect("done") };
    let left = async || {
        let lines = lines(&catalog, &ALL).await.into_iter();
        lines.map(|line| line.subject).collect::<String>()
    };
    assert_eq!(prune(10, 10).await, 0);
    assert_eq!(prune(40, 1).await, 1);
    assert_eq!(left().await, "cbd", "the oldest goes first");
    assert_eq!(prune(30, 10).await, 1);
    assert_eq!(left().await, "cd");
    assert_eq!(prune(40, 10).await, 1);
    assert_eq!(left().await, "d", "what is from that time stays");
}

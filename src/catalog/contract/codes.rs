//! Codes to sign in with.

use super::{Shared, sample_by, sample_time, sample_user};
use crate::{
    catalog::{AuditQuery, EmailChange},
    upload::{
        CodeRecord, Deed, Principal, Scopes, Sha256Digest, TokenId, TokenKind, TokenRecord, User,
    },
};

const EMAIL: &str = "ann@example.com";
const ALL: AuditQuery = AuditQuery { since: None, principal: None, upload: None, limit: 100 };

/// A session that has not been kept yet.
pub(in crate::catalog) fn sample_session(user: &str) -> TokenRecord {
    TokenRecord {
        id: TokenId::new(),
        user: Principal::named(user),
        label: String::new(),
        hash: Sha256Digest([8; 32]),
        scopes: Scopes::all(),
        kind: TokenKind::Session,
        created_at: sample_time(1),
        expires_at: Some(sample_time(1000)),
        used_at: None,
        revoked_at: None,
    }
}

pub(in crate::catalog) fn sample_code(user: &str, hash: u8) -> CodeRecord {
    CodeRecord {
        user: Principal::named(user),
        salt: [7; 16],
        hash: Sha256Digest([hash; 32]),
        expires_at: sample_time(1000),
        tries_left: 2,
        sent: false,
    }
}

/// Ann, who has an address.
pub(in crate::catalog) async fn know_ann(catalog: &Shared) -> User {
    let ann = sample_user(&Principal::named("ann"));
    let ann = User { email: Some(EMAIL.into()), ..ann };
    assert!(catalog.directory().add_user(&ann, &sample_by(0)).await.expect("added"));
    ann
}

pub(super) async fn a_code_is_tried_so_often_and_used_once(catalog: Shared) {
    let (users, code) = (catalog.directory(), sample_code("ann", 1));
    assert!(!users.put_code(&code, EMAIL).await.expect("answered"), "of nobody");
    assert_eq!(users.try_code(EMAIL, sample_time(0)).await.expect("tried"), None);
    know_ann(&catalog).await;
    assert_eq!(users.try_code(EMAIL, sample_time(0)).await.expect("tried"), None);
    assert!(users.put_code(&code, EMAIL).await.expect("kept"));
    for bad in ["bob@example.com", "", "ann"] {
        assert_eq!(users.try_code(bad, sample_time(0)).await.expect("tried"), None, "{bad}");
    }
    let tried = users.try_code("Ann@EXAMPLE.com", sample_time(999)).await.expect("tried");
    assert_eq!(tried, Some(CodeRecord { tries_left: 1, ..code.clone() }));
    assert_eq!(users.try_code(EMAIL, sample_time(1000)).await.expect("tried"), None, "over");
    let tried = users.try_code(EMAIL, sample_time(0)).await.expect("tried");
    assert_eq!(tried.map(|code| code.tries_left), Some(0));
    assert_eq!(users.try_code(EMAIL, sample_time(0)).await.expect("tried"), None, "tried out");
}

pub(super) async fn a_code_is_used_once_for_one_session(catalog: Shared) {
    let (users, code, by) = (catalog.directory(), sample_code("ann", 1), sample_by(5));
    let ann = know_ann(&catalog).await;
    assert!(users.put_code(&code, EMAIL).await.expect("kept"));
    let [session, other] = [(); 2].map(|()| sample_session("ann"));
    let lines = async || catalog.trail().entries(&ALL).await.expect("read");
    let before = lines().await.len();
    let replaced = sample_code("ann", 2);
    assert!(!users.spend_code(&replaced, &other, &by).await.expect("answered"), "another");
    assert_eq!(lines().await.len(), before);
    assert!(users.spend_code(&code, &session, &by).await.expect("used"));
    assert!(!users.spend_code(&code, &other, &by).await.expect("answered"), "twice");
    assert_eq!(users.try_code(EMAIL, sample_time(0)).await.expect("tried"), None);
    assert_eq!(users.token(session.id).await.expect("read"), Some((session.clone(), ann.clone())));
    assert_eq!(users.token(other.id).await.expect("read"), None);
    let created = by.entry(Deed::TokenCreated, &ann.name, &session.id).saying(&session.scopes);
    assert_eq!(lines().await[..lines().await.len() - before], [created]);
}

pub(super) async fn a_user_has_one_code_at_a_time(catalog: Shared) {
    let ann = know_ann(&catalog).await;
    let (users, [first, second]) = (catalog.directory(), [1, 2].map(|it| sample_code("ann", it)));
    for code in [&first, &second] {
        assert!(users.put_code(code, EMAIL).await.expect("kept"));
    }
    let spent = users.spend_code(&first, &sample_session("ann"), &sample_by(1)).await;
    assert!(!spent.expect("answered"), "it was replaced");
    users.disable_user(&ann.name, Some(sample_time(5)), &sample_by(5)).await.expect("disabled");
    assert_eq!(users.try_code(EMAIL, sample_time(6)).await.expect("tried"), None, "disabled");
    users.disable_user(&ann.name, None, &sample_by(6)).await.expect("enabled");
    let tried = users.try_code(EMAIL, sample_time(6)).await.expect("tried");
    assert_eq!(tried.map(|code| code.hash), Some(second.hash));
    users.remove_user(&ann.name, &sample_by(7)).await.expect("removed");
    know_ann(&catalog).await;
    assert_eq!(users.try_code(EMAIL, sample_time(6)).await.expect("tried"), None, "it went, too");
}

pub(super) async fn a_code_for_a_former_address_counts_no_more(catalog: Shared) {
    let (ann, users, code) = (know_ann(&catalog).await, catalog.directory(), sample_code("ann", 1));
    let try_it = async |email: &str| users.try_code(email, sample_time(0)).await.expect("tried");
    for new in [Some("new@example.com"), None, Some(EMAIL)] {
        let former = users.user(&ann.name).await.expect("read").expect("there").email;
        if let Some(former) = &former {
            assert!(users.put_code(&code, &former.to_uppercase()).await.expect("kept"));
        }
        let changed = users.set_email(&ann.name, new, &sample_by(0)).await;
        assert_eq!(changed.expect("changed"), EmailChange::Done);
        for email in former.as_deref().into_iter().chain(new) {
            assert_eq!(try_it(email).await, None, "{email}");
        }
        assert_eq!(users.unsent_codes(sample_time(0), 10).await.expect("read"), []);
        let spent = users.spend_code(&code, &sample_session("ann"), &sample_by(1)).await;
        assert!(!spent.expect("answered"));
        // Nor does one that was made for it, and is kept only now.
        let former = former.unwrap_or_default();
        assert!(!users.put_code(&code, &former).await.expect("answered"), "{former:?}");
    }
    assert!(users.put_code(&code, EMAIL).await.expect("kept"));
    // What is refused leaves it as it was.
    let bob =
        User { email: Some("bob@example.com".into()), ..sample_user(&Principal::named("bob")) };
    users.add_user(&bob, &sample_by(0)).await.expect("added");
    let refused = users.set_email(&ann.name, bob.email.as_deref(), &sample_by(0)).await;
    assert_eq!(refused.expect("answered"), EmailChange::Taken);
    assert!(try_it(EMAIL).await.is_some());
}

pub(super) async fn of_many_that_try_a_code_so_many_do(catalog: Shared) {
    know_ann(&catalog).await;
    catalog.directory().put_code(&sample_code("ann", 1), EMAIL).await.expect("kept");
    let attempt = || {
        let catalog = catalog.clone();
        async move {
            let tried = catalog.directory().try_code(EMAIL, sample_time(0)).await.expect("tried");
            let Some(code) = tried else { return (0, 0) };
            let session = sample_session("ann");
            let spent = catalog.directory().spend_code(&code, &session, &sample_by(1)).await;
            (1, usize::from(spent.expect("answered")))
        }
    };
    let tasks: Vec<_> = (0..12).map(|_| tokio::spawn(attempt())).collect();
    let (mut tried, mut used) = (0, 0);
    for task in tasks {
        let (one, other) = task.await.expect("no panic");
        (tried, used) = (tried + one, used + other);
    }
    assert!((1..=2).contains(&tried), "{tried} tries");
    let sessions = catalog.directory().tokens(None, TokenKind::Session, 12).await;
    assert_eq!((used, sessions.expect("listed").len()), (1, 1));
}

pub(super) async fn codes_that_were_not_sent_are_listed_and_those_that_are_over_go(
    catalog: Shared,
) {
    know_ann(&catalog).await;
    let users = catalog.directory();
    let bob =
        User { email: Some("bob@example.com".into()), ..sample_user(&Principal::named("bob")) };
    users.add_user(&bob, &sample_by(0)).await.expect("added");
    let (anns, bobs) = (sample_code("ann", 1), sample_code("bob", 2));
    let bobs = CodeRecord { expires_at: sample_time(2000), ..bobs };
    for (code, email) in [(&bobs, "bob@example.com"), (&anns, EMAIL)] {
        users.put_code(code, email).await.expect("kept");
    }
    let unsent = async |ms, limit| users.unsent_codes(sample_time(ms), limit).await.expect("read");
    assert_eq!(unsent(999, 10).await, [anns.clone(), bobs.clone()]);
    assert_eq!(unsent(999, 1).await, std::slice::from_ref(&anns));
    assert_eq!(unsent(1000, 10).await, std::slice::from_ref(&bobs));
    // What was replaced meanwhile says nothing of what took its place.
    users.code_sent(&sample_code("bob", 3)).await.expect("without effect");
    users.code_sent(&anns).await.expect("written");
    assert_eq!(unsent(0, 10).await, [bobs]);
    assert_eq!(users.purge_codes(sample_time(1000), 10).await.expect("purged"), 0);
    assert_eq!(users.purge_codes(sample_time(1001), 10).await.expect("purged"), 1);
    assert_eq!(users.purge_codes(sample_time(2001), 10).await.expect("purged"), 1);
}

//! Users: their names, what is theirs, and their tokens.

use super::{
    Fact, Shared, commit, find, open, open_complete, open_ended, open_full, sample_by,
    sample_creative, sample_range, sample_time, sample_upload, sample_upload_of, sample_user,
};
use crate::{
    catalog::EmailChange,
    upload::{
        Durability, Principal, Scopes, Sha256Digest, TokenId, TokenKind, TokenRecord, UploadState,
        User,
    },
};

fn named(name: &str) -> Principal {
    Principal::named(name)
}

fn sample_token(user: &Principal, kind: TokenKind) -> TokenRecord {
    TokenRecord {
        id: TokenId::new(),
        user: user.clone(),
        label: "laptop".into(),
        hash: Sha256Digest([9; 32]),
        scopes: "upload,read".parse::<Scopes>().expect("scopes"),
        kind,
        created_at: sample_time(1),
        expires_at: Some(sample_time(1000)),
        used_at: None,
        revoked_at: None,
    }
}

pub(super) async fn a_user_has_a_name_and_an_address_of_its_own(catalog: Shared) {
    let users = catalog.directory();
    assert!(!users.has_users().await.expect("read"));
    let ann = User { email: Some("Ann@example.com".into()), ..sample_user(&named("ann")) };
    assert!(users.add_user(&ann, &sample_by(0)).await.expect("added"));
    assert!(users.has_users().await.expect("read"));
    assert!(!users.add_user(&sample_user(&named("ann")), &sample_by(0)).await.expect("answered"));
    let rival = User { email: Some("ann@EXAMPLE.com".into()), ..sample_user(&named("bob")) };
    assert!(!users.add_user(&rival, &sample_by(0)).await.expect("answered"));
    assert_eq!(users.user(&named("ann")).await.expect("read"), Some(ann.clone()));
    assert_eq!(users.user(&named("bob")).await.expect("read"), None);
    for email in ["Ann@example.com", "aNN@example.COM"] {
        assert_eq!(users.user_by_email(email).await.expect("read"), Some(ann.clone()), "{email}");
    }
    // Several users without an address do not stand in each other's way.
    for name in ["bob", "carl"] {
        assert!(users.add_user(&sample_user(&named(name)), &sample_by(0)).await.expect("added"));
    }
    let page = users.users(None, 2).await.expect("listed");
    assert_eq!(page.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    let rest = users.users(Some(&named("bob")), 2).await.expect("listed");
    assert_eq!(rest.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["carl"]);

    assert!(
        users.disable_user(&ann.name, Some(sample_time(5)), &sample_by(0)).await.expect("disabled")
    );
    let found = users.user(&ann.name).await.expect("read").expect("there");
    assert_eq!(found.disabled_at, Some(sample_time(5)));
    assert!(users.disable_user(&ann.name, None, &sample_by(0)).await.expect("enabled"));
    assert_eq!(users.user(&ann.name).await.expect("read"), Some(ann));
    assert!(!users.disable_user(&named("dan"), None, &sample_by(0)).await.expect("answered"));
}

pub(super) async fn an_address_is_changed_unless_it_is_anothers(catalog: Shared) {
    let users = catalog.directory();
    let [ann, bob] = ["ann", "bob"].map(named);
    let set = async |name: &Principal, email| {
        users.set_email(name, email, &sample_by(0)).await.expect("answered")
    };
    let email =
        async |name: &Principal| users.user(name).await.expect("read").expect("there").email;
    assert_eq!(set(&ann, Some("ann@example.com")).await, EmailChange::Unknown);
    assert_eq!(set(&ann, None).await, EmailChange::Unknown);
    for name in [&ann, &bob] {
        users.add_user(&sample_user(name), &sample_by(0)).await.expect("added");
        assert_eq!(set(name, None).await, EmailChange::Done, "several have none");
    }
    assert_eq!(set(&ann, Some("ann@example.com")).await, EmailChange::Done);
    assert_eq!(set(&bob, Some("ANN@example.com")).await, EmailChange::Taken);
    assert_eq!(set(&named("dan"), Some("ann@example.com")).await, EmailChange::Unknown);
    assert_eq!((email(&ann).await, email(&bob).await), (Some("ann@example.com".into()), None));
    // One's own, written in another way, is nobody else's.
    assert_eq!(set(&ann, Some("Ann@Example.com")).await, EmailChange::Done);
    let found = users.user_by_email("aNN@example.com").await.expect("read").expect("there");
    let user = User { email: Some("Ann@Example.com".into()), ..sample_user(&ann) };
    assert_eq!(found, user, "and nothing else of the user is changed");
    // What one gives up another may have.
    assert_eq!(set(&ann, None).await, EmailChange::Done);
    assert_eq!(users.user_by_email("ann@example.com").await.expect("read"), None);
    assert_eq!(set(&bob, Some("ann@example.com")).await, EmailChange::Done);
}

pub(super) async fn a_user_who_has_something_is_not_removed(catalog: Shared) {
    let (users, ann) = (catalog.directory(), named("ann"));
    let [running, done, over] = ["running", "done", "over"].map(|it| sample_upload_of(&ann, it));
    open(&*catalog, &running).await;
    open_ended(&*catalog, &over, UploadState::Failed).await;
    assert!(
        !users.remove_user(&ann, &sample_by(0)).await.expect("answered"),
        "with a running upload"
    );
    let cancelled = UploadState::Cancelled;
    assert!(catalog.end(running.id, cancelled, None, &sample_by(9)).await.expect("ended"));
    let creative = open_complete(&*catalog, &done).await;
    assert!(!users.remove_user(&ann, &sample_by(0)).await.expect("answered"), "with a creative");
    catalog.delete_creative(creative.id, &sample_by(0)).await.expect("deleted");
    assert!(users.remove_user(&ann, &sample_by(0)).await.expect("removed"));
    assert_eq!(users.user(&ann).await.expect("read"), None);
    for upload in [&running, &done, &over] {
        assert_eq!(catalog.upload(upload.id).await.expect("read"), None, "what is left goes, too");
    }
    assert!(!users.remove_user(&ann, &sample_by(0)).await.expect("answered"), "twice");
}

pub(super) async fn an_upload_of_nobody_is_not_opened_and_disturbs_no_other(catalog: Shared) {
    let (nobodys, publics) = (sample_upload_of(&named("nobody"), "x"), sample_upload("x"));
    let opened = |record: &crate::upload::UploadRecord| Fact::Opened(Box::new(record.clone()));
    let stored = |record: &crate::upload::UploadRecord| Fact::Stored {
        upload: record.id,
        stored: sample_range(0, 10),
        at: sample_time(0),
    };
    let batch = vec![opened(&nobodys), stored(&nobodys), opened(&publics), stored(&publics)];
    let committed = catalog.commit(batch, Durability::Strict).await.expect("committed");
    assert_eq!(committed.ended, [nobodys.id]);
    assert_eq!(catalog.upload(nobodys.id).await.expect("read"), None);
    assert_eq!(find(&*catalog, publics.id).await, publics);
    assert_eq!(commit(&*catalog, vec![Fact::Full { upload: nobodys.id }]).await, []);
}

pub(super) async fn nothing_completes_for_a_user_who_is_disabled(catalog: Shared) {
    let (users, ann) = (catalog.directory(), named("ann"));
    let record = sample_upload_of(&ann, "x");
    users.add_user(&sample_user(&ann), &sample_by(0)).await.expect("added");
    open_full(&*catalog, &record).await;
    let creative = sample_creative(&record);
    users.disable_user(&ann, Some(sample_time(5)), &sample_by(0)).await.expect("disabled");
    assert!(!catalog.complete(&creative).await.expect("answered"));
    assert_eq!(catalog.creative(creative.id).await.expect("read"), None);
    assert_eq!(find(&*catalog, record.id).await.state, UploadState::Stitching);
    users.disable_user(&ann, None, &sample_by(0)).await.expect("enabled");
    assert!(catalog.complete(&creative).await.expect("completed"));
}

pub(super) async fn a_token_belongs_to_a_user_and_goes_with_it(catalog: Shared) {
    let (users, ann) = (catalog.directory(), named("ann"));
    let token = sample_token(&ann, TokenKind::Key);
    assert!(!users.add_token(&token, &sample_by(0)).await.expect("answered"), "of nobody");
    let user = sample_user(&ann);
    users.add_user(&user, &sample_by(0)).await.expect("added");
    users.add_user(&sample_user(&named("bob")), &sample_by(0)).await.expect("added");
    assert!(users.add_token(&token, &sample_by(0)).await.expect("added"));
    assert_eq!(users.token(token.id).await.expect("read"), Some((token.clone(), user)));
    let bobs = sample_token(&named("bob"), TokenKind::Key);
    users.add_token(&bobs, &sample_by(0)).await.expect("added");
    users.add_token(&sample_token(&ann, TokenKind::Session), &sample_by(0)).await.expect("added");

    users.token_used(token.id, sample_time(7)).await.expect("written");
    users.extend_token(token.id, sample_time(2000)).await.expect("written");
    let times = (Some(sample_time(2000)), Some(sample_time(7)));
    let token = TokenRecord { expires_at: times.0, used_at: times.1, ..token };
    let listed = users.tokens(Some(&ann), TokenKind::Key, 10).await.expect("listed");
    assert_eq!(listed, std::slice::from_ref(&token));
    let listed = users.tokens(None, TokenKind::Key, 10).await.expect("listed");
    assert_eq!(listed, [bobs.clone(), token.clone()]);
    assert_eq!(users.tokens(None, TokenKind::Key, 1).await.expect("listed"), [bobs]);

    assert!(users.remove_user(&ann, &sample_by(0)).await.expect("removed"));
    assert_eq!(users.token(token.id).await.expect("read"), None);
}

pub(super) async fn a_token_is_taken_back_once(catalog: Shared) {
    let (users, ann) = (catalog.directory(), named("ann"));
    users.add_user(&sample_user(&ann), &sample_by(0)).await.expect("added");
    let token = sample_token(&ann, TokenKind::Key);
    users.add_token(&token, &sample_by(0)).await.expect("added");
    assert!(users.revoke_token(token.id, &sample_by(8)).await.expect("taken back"));
    assert!(!users.revoke_token(token.id, &sample_by(9)).await.expect("answered"));
    users.extend_token(token.id, sample_time(5000)).await.expect("without effect");
    let (found, _) = users.token(token.id).await.expect("read").expect("there");
    assert_eq!(found, TokenRecord { revoked_at: Some(sample_time(8)), ..token });
    assert!(!found.is_valid(sample_time(0)));
    assert!(!users.revoke_token(TokenId::new(), &sample_by(9)).await.expect("answered"));
}

pub(super) async fn sessions_that_are_over_are_forgotten(catalog: Shared) {
    let (users, ann) = (catalog.directory(), named("ann"));
    users.add_user(&sample_user(&ann), &sample_by(0)).await.expect("added");
    let key = sample_token(&ann, TokenKind::Key);
    let over = sample_token(&ann, TokenKind::Session);
    let later = sample_token(&ann, TokenKind::Session);
    let later = TokenRecord { expires_at: Some(sample_time(3000)), ..later };
    for token in [&key, &over, &later] {
        users.add_token(token, &sample_by(0)).await.expect("added");
    }
    assert_eq!(users.purge_sessions(sample_time(2000), 10).await.expect("purged"), 1);
    assert_eq!(users.purge_sessions(sample_time(2000), 10).await.expect("purged"), 0);
    let left = users.tokens(None, TokenKind::Session, 10).await.expect("listed");
    assert_eq!(left, [later]);
    assert!(users.token(key.id).await.expect("read").is_some());
}

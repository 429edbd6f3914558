//! Tickets that are good for only so many uploads.

use super::{Shared, find, know, sample_time, sample_upload_of};
use crate::{
    catalog::{Committed, Fact},
    upload::{Allowance, Durability, Principal, TicketKey, UploadRecord},
};

fn allowance(uploads: u32) -> Allowance {
    let ticket = TicketKey::of(&Principal::named("ann"), "ticket");
    Allowance { ticket, uploads, expires_at: sample_time(1000) }
}

/// An upload of Ann's that is begun with a ticket.
async fn begin(catalog: &Shared, record: &UploadRecord, allowance: Allowance) -> Committed {
    know(&**catalog, record.identity.principal()).await;
    let spent = Fact::Spent { upload: record.id, allowance };
    let facts = vec![spent, Fact::Opened(Box::new(record.clone()))];
    catalog.commit(facts, Durability::Strict).await.expect("committed")
}

fn sample(name: &str) -> UploadRecord {
    sample_upload_of(&Principal::named("ann"), name)
}

pub(super) async fn a_ticket_is_good_for_so_many_uploads(catalog: Shared) {
    let [one, two, three] = ["1", "2", "3"].map(sample);
    let ticket = allowance(2).ticket;
    assert_eq!(catalog.directory().begun_with(ticket).await.expect("read"), 0);
    for record in [&one, &two] {
        assert_eq!(begin(&catalog, record, allowance(2)).await, Committed::default());
        assert_eq!(find(&*catalog, record.id).await, *record);
    }
    let refused = begin(&catalog, &three, allowance(2)).await;
    assert_eq!(refused, Committed { refused: vec![three.id], ..Committed::default() });
    assert_eq!(catalog.upload(three.id).await.expect("read"), None);
    assert_eq!(catalog.directory().begun_with(ticket).await.expect("read"), 2);
    // Another ticket is another matter, and what is refused keeps nobody else in the batch.
    let other = Allowance { ticket: TicketKey::of(&Principal::named("ann"), "b"), ..allowance(1) };
    assert_eq!(begin(&catalog, &three, other).await, Committed::default());
    let nothing =
        Allowance { ticket: TicketKey::of(&Principal::named("ann"), "c"), ..allowance(0) };
    assert_eq!(begin(&catalog, &sample("4"), nothing).await.refused.len(), 1);
}

pub(super) async fn of_many_that_begin_with_one_ticket_so_many_do(catalog: Shared) {
    let begin = |n: u32| {
        let catalog = catalog.clone();
        async move { begin(&catalog, &sample(&n.to_string()), allowance(3)).await.refused.len() }
    };
    let tasks: Vec<_> = (0..12).map(|n| tokio::spawn(begin(n))).collect();
    let mut refused = 0;
    for task in tasks {
        refused += task.await.expect("no panic");
    }
    assert_eq!(refused, 12 - 3);
}

pub(super) async fn what_was_counted_is_forgotten_after_the_ticket_has_ended(catalog: Shared) {
    begin(&catalog, &sample("1"), allowance(1)).await;
    let (users, ticket) = (catalog.directory(), allowance(1).ticket);
    assert_eq!(users.purge_tickets(sample_time(1000), 0, 10).await.expect("purged"), 0);
    assert_eq!(users.begun_with(ticket).await.expect("read"), 1);
    assert_eq!(users.purge_tickets(sample_time(1001), 1, 10).await.expect("kept"), 0);
    assert_eq!(users.begun_with(ticket).await.expect("read"), 1);
    assert_eq!(users.purge_tickets(sample_time(1001), 0, 10).await.expect("purged"), 1);
    assert_eq!(users.begun_with(ticket).await.expect("read"), 0);
}

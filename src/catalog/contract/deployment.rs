//! Deployments: the id, the generations, and who may use the service.

use super::{Shared, codes::know_ann, find, open, sample_by, sample_upload};
use crate::{
    catalog::{Advanced, Deployment, Seen},
    upload::{AccessState, Principal},
};

async fn advance(deployment: &dyn Deployment, seen: Seen) -> (u64, bool) {
    let Advanced { mark, in_step } = deployment.advance(seen).await.expect("counted");
    assert_eq!(mark.deployment, deployment.id().await.expect("an id"));
    (mark.generation, in_step)
}

pub(super) async fn generations_are_counted_in_step_with_the_folders(catalog: Shared) {
    let own = catalog.deployment();
    assert_eq!(own.id().await.expect("an id"), own.id().await.expect("an id"));
    assert_eq!(advance(own, Seen::Nothing).await, (1, true));
    assert_eq!(advance(own, Seen::Nothing).await, (1, false), "marks were lost, or never made");
    assert_eq!(advance(own, Seen::All(1)).await, (2, true));
    assert_eq!(advance(own, Seen::All(1)).await, (2, false), "the folders may be old ones");
    assert_eq!(advance(own, Seen::All(2)).await, (3, true));
    assert_eq!(advance(own, Seen::Mixed(3)).await, (4, false), "one of the folders is old");
    assert_eq!(advance(own, Seen::All(7)).await, (8, false), "the catalog is an old one");
    assert_eq!(advance(own, Seen::All(3)).await, (8, false), "the folders are old ones");
}

pub(super) async fn after_a_restore_what_runs_is_suspect(catalog: Shared) {
    let own = catalog.deployment();
    let (mut generation, _) = advance(own, Seen::Nothing).await;
    for (seen, suspect) in [
        (Seen::All(1), false),
        (Seen::All(1), true),
        (Seen::All(5), true),
        (Seen::Mixed(6), true),
        (Seen::Nothing, true),
    ] {
        catalog.open_session("boot").await.expect("opened");
        let record = sample_upload(&format!("{seen:?} {generation}"));
        open(&*catalog, &record).await;
        generation = advance(own, seen).await.0;
        // What is to be doubted is still so when the start is cut short here and begins anew.
        advance(own, Seen::All(generation)).await;
        let in_order = catalog.open_session("boot").await.expect("opened");
        assert!(!in_order);
        assert_eq!(find(&*catalog, record.id).await.suspect, suspect, "{seen:?}");
    }
}

pub(super) async fn the_first_user_closes_a_service_for_good(catalog: Shared) {
    let own = catalog.deployment();
    assert_eq!(own.access().await.expect("read"), None);
    own.set_access(AccessState::Open).await.expect("decided");
    assert_eq!(own.access().await.expect("read"), Some(AccessState::Open));
    know_ann(&catalog).await;
    assert_eq!(own.access().await.expect("read"), Some(AccessState::Users));
    let ann = Principal::named("ann");
    assert!(catalog.directory().remove_user(&ann, &sample_by(1)).await.expect("removed"));
    own.set_access(AccessState::Open).await.expect("no effect");
    assert_eq!(own.access().await.expect("read"), Some(AccessState::Users));
}

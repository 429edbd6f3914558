//! Deployments: the id, the generations, and who may use the service.

use super::{Shared, codes::know_ann, find, open, sample_by, sample_upload};
use crate::{
    catalog::{Advanced, Deployment},
    upload::{AccessState, Principal},
};

async fn advance(deployment: &dyn Deployment, seen: Option<u64>) -> (u64, bool) {
    let Advanced { mark, in_step } = deployment.advance(seen).await.expect("counted");
    assert_eq!(mark.deployment, deployment.id().await.expect("an id"));
    (mark.generation, in_step)
}

pub(super) async fn generations_are_counted_in_step_with_the_folders(catalog: Shared) {
    let own = catalog.deployment();
    assert_eq!(own.id().await.expect("an id"), own.id().await.expect("an id"));
    assert_eq!(advance(own, None).await, (1, true));
    assert_eq!(advance(own, None).await, (1, true), "a first start that was cut short");
    assert_eq!(advance(own, Some(1)).await, (2, true));
    assert_eq!(advance(own, Some(1)).await, (2, true), "it stopped before the folders had it");
    assert_eq!(advance(own, Some(7)).await, (8, false), "the catalog is an old one");
    assert_eq!(advance(own, Some(3)).await, (8, false), "the folders are old ones");
}

pub(super) async fn after_a_restore_what_runs_is_suspect(catalog: Shared) {
    let own = catalog.deployment();
    for (seen, suspect) in [(Some(1), false), (Some(5), true)] {
        advance(own, None).await;
        catalog.open_session("boot").await.expect("opened");
        let record = sample_upload(&format!("{seen:?}"));
        open(&*catalog, &record).await;
        advance(own, seen).await;
        let in_order = catalog.open_session("boot").await.expect("opened");
        assert!(!in_order);
        assert_eq!(find(&*catalog, record.id).await.suspect, suspect);
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

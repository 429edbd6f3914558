//! Keeping the file of a form until the form has ended.

use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};

use super::Form;
use crate::engine::{Body, BodyError, Engine, Keeping, Spooled, UploadError};

/// Keeps the file that the form is at, if it is at most `max` bytes long, and gives the form back.
pub(in crate::dialect) async fn keep(
    engine: &Engine,
    form: Form<'static>,
    max: u64,
    keeping: Keeping<'_>,
) -> Result<(Form<'static>, Spooled), UploadError> {
    // The engine wants a body of its own, and the form is needed again afterwards.
    let form = Arc::new(Mutex::new(form));
    let lent = form.clone();
    let frames = stream::poll_fn(move |context| {
        lent.lock().expect("nobody panics while reading a form").poll_file(context)
    });
    let body: Body = frames.map(|frame| frame.map_err(BodyError::from)).boxed();
    let kept = engine.spool(body, max, keeping).await?;
    let form = Arc::into_inner(form).expect("the engine has let go of the body");
    Ok((form.into_inner().expect("nobody panics while reading a form"), kept))
}

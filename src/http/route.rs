//! Every address of the service, on one page.

use http::Method;

use crate::upload::{CreativeId, UploadId};

/// What a request asks for, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/upload`: flow.js.
    Flow,
    /// `/upload-creative`: one picture in one request.
    UploadCreative,
    /// `/uploads`.
    Uploads,
    /// `/uploads/lookup`.
    Lookup,
    /// `/uploads/{id}`.
    Upload(UploadId),
    /// `/uploads/{id}/events`.
    Events(UploadId),
    /// `/scheduled`.
    Scheduled,
    /// `/creatives`.
    Creatives,
    /// `/creatives/{id}`.
    Creative(CreativeId),
    /// `/creatives/{id}/content`.
    Content(CreativeId),
    /// `/tickets`: permits for browsers.
    Tickets,
    /// `/limits`.
    Limits,
    /// `/auth`: how one signs in to the page.
    Auth,
    /// `/auth/otp`: codes to sign in with.
    Code,
    /// `/auth/session`.
    Session,
    /// `/healthz`.
    Health,
    /// `/readyz`.
    Ready,
    /// `/metrics`.
    Metrics,
    /// `/openapi.json`.
    OpenApi,
    /// `/` and `/static/…`: whether there is such a file is for the assets to say.
    Asset,
}

impl Route {
    /// The route of a path, if there is one. An id that is none names nothing.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match segments.as_slice() {
            ["upload"] => Self::Flow,
            ["upload-creative"] => Self::UploadCreative,
            ["uploads"] => Self::Uploads,
            ["uploads", "lookup"] => Self::Lookup,
            ["uploads", id] => Self::Upload(id.parse().ok()?),
            ["uploads", id, "events"] => Self::Events(id.parse().ok()?),
            ["scheduled"] => Self::Scheduled,
            ["creatives"] => Self::Creatives,
            ["creatives", id] => Self::Creative(id.parse().ok()?),
            ["creatives", id, "content"] => Self::Content(id.parse().ok()?),
            ["tickets"] => Self::Tickets,
            ["limits"] => Self::Limits,
            ["auth"] => Self::Auth,
            ["auth", "otp"] => Self::Code,
            ["auth", "session"] => Self::Session,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["openapi.json"] => Self::OpenApi,
            [""] | ["static", ..] => Self::Asset,
            _ => return None,
        })
    }

    /// One of each kind.
    #[must_use]
    pub fn all() -> [Self; 20] {
        let (upload, creative) = (UploadId::new(), CreativeId::new());
        [
            Self::Flow,
            Self::UploadCreative,
            Self::Uploads,
            Self::Lookup,
            Self::Upload(upload),
            Self::Events(upload),
            Self::Scheduled,
            Self::Creatives,
            Self::Creative(creative),
            Self::Content(creative),
            Self::Tickets,
            Self::Limits,
            Self::Auth,
            Self::Code,
            Self::Session,
            Self::Health,
            Self::Ready,
            Self::Metrics,
            Self::OpenApi,
            Self::Asset,
        ]
    }

    /// What may be done with it, but for `OPTIONS`, which may be done with everything.
    #[must_use]
    pub fn methods(self) -> &'static [Method] {
        match self {
            // HEAD is understood and always refused: see the service.
            Self::Flow => &[Method::GET, Method::POST, Method::PUT],
            Self::UploadCreative | Self::Tickets | Self::Code => &[Method::POST],
            Self::Session => &[Method::POST, Method::DELETE],
            Self::Upload(_) => &[Method::GET, Method::HEAD, Method::DELETE],
            Self::Creative(_) => &[Method::GET, Method::HEAD, Method::PATCH, Method::DELETE],
            Self::Uploads
            | Self::Lookup
            | Self::Events(_)
            | Self::Scheduled
            | Self::Creatives
            | Self::Content(_)
            | Self::Limits
            | Self::Auth
            | Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Asset => &[Method::GET, Method::HEAD],
        }
    }

    /// A name for metrics: one for each kind, whatever the id.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "/upload",
            Self::UploadCreative => "/upload-creative",
            Self::Uploads => "/uploads",
            Self::Lookup => "/uploads/lookup",
            Self::Upload(_) => "/uploads/{id}",
            Self::Events(_) => "/uploads/{id}/events",
            Self::Scheduled => "/scheduled",
            Self::Creatives => "/creatives",
            Self::Creative(_) => "/creatives/{id}",
            Self::Content(_) => "/creatives/{id}/content",
            Self::Tickets => "/tickets",
            Self::Limits => "/limits",
            Self::Auth => "/auth",
            Self::Code => "/auth/otp",
            Self::Session => "/auth/session",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Asset => "/static",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        let id = UploadId::new();
        assert_eq!(Route::of("/upload"), Some(Route::Flow));
        assert_eq!(Route::of("/"), Some(Route::Asset));
        assert_eq!(Route::of(&format!("/uploads/{id}")), Some(Route::Upload(id)));
        assert_eq!(Route::of(&format!("/uploads/{id}/events")), Some(Route::Events(id)));
        for unknown in
            ["", "upload", "/upload/", "//upload", "/Upload", "/uploads/1", "/creatives/"]
        {
            assert_eq!(Route::of(unknown), None, "{unknown:?}");
        }
    }
}

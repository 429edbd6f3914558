//! What must hold of every answer, and of the data once all is said and done.

use std::path::Path;

use serde_json::Value;

use super::{Reply, TestApp, TestAppBuilder};

impl Reply {
    /// Asserts the headers that every answer has but those of pages and of published content.
    #[track_caller]
    pub(crate) fn assert_common_headers(&self) -> &Self {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        assert_eq!(self.header("vary"), Some("Origin"), "{self:?}");
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "{self:?}");
        self
    }

    /// Asserts «not here»: 204, and nothing else.
    #[track_caller]
    pub(crate) fn assert_missing(&self) {
        self.assert_status(204).assert_common_headers();
        assert!(self.body.is_empty(), "{self:?}");
        assert_eq!(self.header("content-type"), None, "{self:?}");
    }
}

/// A status body as lookups and the status of one upload give it: with what is missing.
pub(crate) fn with_missing(status: &Value, missing: &Value) -> Value {
    let mut listing = status.clone();
    listing["upload"]["missing_chunks"] = missing.clone();
    listing
}

impl TestApp {
    /// The uploads that the catalog knows, by `GET /uploads`.
    pub(crate) async fn uploads(&self) -> Vec<Value> {
        let list = self.get("/uploads?limit=1000").await.json();
        list["uploads"].as_array().expect("a list").clone()
    }

    /// Asserts that there is neither row nor file of anything. Stops the application, so that
    /// clean-up that a request left behind is over.
    pub(crate) async fn assert_left_nothing(self) {
        assert_eq!(self.uploads().await, Vec::<Value>::new());
        self.assert_ends_with(0).await;
    }

    /// Stops the application, and asserts that it leaves so many creatives, one file for each, and
    /// no bytes of anything else.
    pub(crate) async fn assert_ends_with(self, creatives: usize) -> TestAppBuilder {
        assert_eq!(self.creatives().await.len(), creatives);
        let dir = self.dir().to_owned();
        let builder = self.stop().await;
        let mut files = files_below(&dir);
        files.retain(|name| !name.starts_with("flowstitch.db") && !name.contains("/."));
        assert_eq!(files.len(), creatives, "{files:?}");
        for name in files {
            let id = name.strip_prefix("completed/").and_then(|name| name.get(..36));
            assert!(id.is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()), "not ours: {name}");
        }
        builder
    }
}

/// Every file below a folder, by its path from there.
fn files_below(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, root, names);
            } else {
                let name = path.strip_prefix(root).expect("it is below the folder");
                names.push(name.to_str().expect("our names are ASCII").to_owned());
            }
        }
    }
    let mut names = Vec::new();
    walk(dir, dir, &mut names);
    names.sort();
    names
}

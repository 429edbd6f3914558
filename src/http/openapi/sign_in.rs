//! The operations of signing in.

use serde_json::{Value, json};

use super::{Say, body, get, made, operation};
use crate::http::auth;

impl Say {
    pub(super) fn ways(&mut self) -> Value {
        let ways = json!({ "200": self.json::<auth::Ways>("How one signs in here.") });
        get("waysToSignIn", "How do I sign in?", json!([]), ways)
    }

    pub(super) fn code(&mut self) -> Value {
        let taken = "A code is sent if a user has this address; whether one has, nothing tells.";
        let taken = json!({ "202": { "description": taken } });
        let request = self.schema::<auth::CodeRequest>();
        let mut post = operation("sendCode", "Send me a code", json!([]), taken);
        post["requestBody"] = body(&json!({ "application/json": { "schema": request } }));
        json!({ "post": post })
    }

    pub(super) fn session(&mut self) -> Value {
        let begun = made(self.json::<auth::Session>("Signed in."));
        let renewed = self.json::<auth::Session>("The session that was shown lasts longer.");
        let answers = json!({ "200": renewed, "201": begun });
        let request = self.schema::<auth::SessionRequest>();
        let summary = "Sign in with a code; or, with a session and no body, renew it";
        let mut post = operation("signIn", summary, json!([]), answers);
        let content = json!({ "application/json": { "schema": request } });
        post["requestBody"] = json!({ "content": content });
        post["security"] = json!([{}, { "bearer": [] }]);
        let ended = json!({ "204": { "description": "The session has ended." } });
        let delete = operation("signOut", "Sign out", json!([]), ended);
        json!({ "post": post, "delete": delete })
    }
}

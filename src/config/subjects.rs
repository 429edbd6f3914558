//! What the command line says of creatives, users and tokens.

use clap::{Args, Subcommand};

use super::{TimeSpan, cli::STATUS_OF_TOOLS};
use crate::upload::{CreativeId, KnownName, Principal, Scopes, TokenId, limits};

/// What to do with creatives.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[command(after_help = STATUS_OF_TOOLS)]
pub enum Creatives {
    /// List creatives, newest first
    List {
        /// Of this user only
        #[arg(long, value_name = "NAME", conflicts_with = "public")]
        user: Option<KnownName>,
        /// Only what was stored without credentials
        #[arg(long)]
        public: bool,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = limits::PAGE_LEN)]
        limit: usize,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Delete one, record and file
    Delete {
        /// Its id
        id: CreativeId,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Give one, or all that was stored without credentials, to a user
    Give {
        /// Its id
        #[arg(required_unless_present = "public", conflicts_with = "public")]
        id: Option<CreativeId>,
        /// All that was stored without credentials
        #[arg(long)]
        public: bool,
        /// To whom
        #[arg(long, value_name = "USER")]
        to: KnownName,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// What to do with users.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[command(after_help = STATUS_OF_TOOLS)]
pub enum Users {
    /// List users, by name
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Add one
    Add {
        /// What tells the user from others; its creatives bear it, too
        name: Principal,
        /// Where a code can be sent with which to sign in to the page
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Change where codes are sent with which this user signs in to the page; one that was sent
    /// counts no more
    Email {
        /// The user's name
        name: KnownName,
        /// The new address
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        address: Option<String>,
        /// From now on there is none
        #[arg(long)]
        none: bool,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Let no credential of this user count any more
    Disable(Named),
    /// Let them count again
    Enable(Named),
    /// Forget one, with all tokens, uploads and creatives; finished files go to the trash. Asks
    /// first, if it is run at a terminal
    Remove {
        /// Which user
        #[command(flatten)]
        named: Named,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Named {
    /// The name, or the name as `flowstitch user list` shows it
    pub name: KnownName,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What to do with tokens.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[command(after_help = STATUS_OF_TOOLS)]
pub enum Tokens {
    /// Make one and print it: it is shown this once; a user who is not known is added
    Create(NewToken),
    /// List them, and the sessions of the page, the newest of each first
    List {
        /// Of this user only
        name: Option<KnownName>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Take one back: requests that show it are refused from now on
    Revoke {
        /// Its id
        id: TokenId,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NewToken {
    /// For whom
    pub name: Principal,
    /// What may be done with it: upload, read, admin, with commas between them
    #[arg(long, value_name = "SCOPE,…", default_value = "upload,read")]
    pub scopes: Scopes,
    /// How long it counts; for ever, unless it is said
    #[arg(long, value_name = "TIME")]
    pub expires: Option<TimeSpan>,
    /// What its owner will know it by
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

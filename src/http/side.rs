//! Which routes are served at which address, if the operator's have one of their own.

use super::route::Route;

/// An address at which the service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The only one: all routes.
    Only,
    /// That of clients, beside one for the operator.
    Clients,
    /// That of the operator, the setting `admin_listen`.
    Operator,
}

impl Side {
    /// Whether this route is served there. Health and readiness are served everywhere: whoever
    /// balances load asks at the address to which it would send clients.
    pub(super) fn serves(self, route: Route) -> bool {
        match route {
            Route::Health | Route::Ready => true,
            Route::Metrics | Route::Tickets => self != Self::Clients,
            _ => self != Self::Operator,
        }
    }
}

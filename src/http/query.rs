//! The parameters of lists.

use std::str::FromStr;

use super::problem::Problem;
use crate::{
    dialect::quote,
    upload::limits::{PAGE_LEN, PAGE_LEN_MAX},
};

/// The parameters of a query string, each of them known.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query string. A parameter without a value, as forms send what was left blank, is as
    /// good as absent. Errors: one that is not among `known`, or comes twice.
    pub(super) fn read(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            if !known.contains(&name.as_str()) {
                let known = known.join("`, `");
                let name = quote(&name);
                let detail = format!("{name} is no parameter here; there are `{known}`.");
                return Err(Problem::bad_request("invalid_parameter", detail));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                let detail = format!("`{name}` comes twice.");
                return Err(Problem::bad_request("invalid_parameter", detail));
            }
            if !value.is_empty() {
                pairs.push((name, value));
            }
        }
        Ok(Self(pairs))
    }

    /// One parameter, parsed. Errors: it is there and cannot be parsed; `expected` says how it is
    /// written.
    pub(super) fn get<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        self.get_with(name, expected, |text| text.parse().ok())
    }

    /// As [`Self::get`], with a parser.
    pub(super) fn get_with<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some((_, text)) = self.0.iter().find(|(other, _)| other == name) else {
            return Ok(None);
        };
        let wrong = || {
            let detail = format!("`{name}` must be {expected}.");
            Problem::bad_request("invalid_parameter", detail)
        };
        parse(text).map(Some).ok_or_else(wrong)
    }

    /// How long a page may be.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let expected = format!("a number from 1 to {PAGE_LEN_MAX}");
        let parse = |text: &str| text.parse().ok().filter(|n| (1..=PAGE_LEN_MAX).contains(n));
        Ok(self.get_with("limit", &expected, parse)?.unwrap_or(PAGE_LEN))
    }
}

/// Cuts a list that was asked for with one row too many, and tells where the next page begins.
pub(super) fn page<T>(
    mut rows: Vec<T>,
    limit: usize,
    cursor: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = limit < rows.len();
    rows.truncate(limit);
    let next = if more { rows.last().map(cursor) } else { None };
    (rows, next)
}

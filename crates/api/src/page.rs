//! Lists: `?limit=` and `?cursor=` in, `{data, next_cursor}` out.

use kernel::{Cursor, Page, PageRequest};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How many items a page may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(u16);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let limit = text.parse().ok().filter(|limit| (1..=PageRequest::MAX_LIMIT).contains(limit));
        let max = PageRequest::MAX_LIMIT;
        limit
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format_args!("must be a number from 1 to {max}")))
    }
}

/// Where a page starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct After(Cursor);

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Which page of a list is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// How many items the page has at most.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<Limit>,
    /// The `next_cursor` of the page before; absent for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

impl PageQuery {
    pub(crate) fn request(&self) -> PageRequest {
        request(self.limit, self.cursor)
    }
}

/// The page that a query with more parameters of its own asks for.
pub(crate) fn request(limit: Option<Limit>, cursor: Option<After>) -> PageRequest {
    PageRequest::new(limit.map(|limit| limit.0), cursor.map(|cursor| cursor.0))
}

/// One page of a list. Items that are added meanwhile do not move the others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The items.
    data: Vec<T>,
    /// The `cursor` of the next page; null on the last. What is there to be followed has one on each page with an item.
    #[schema(required, example = "AZovPF1-erze-N7wEjRWeJA")]
    next_cursor: Option<String>,
}

/// The answer of a list's handler.
pub(crate) fn answer<T, U: From<T>>(page: Page<T>) -> axum::Json<List<U>> {
    let data = page.items.into_iter().map(U::from).collect();
    axum::Json(List { data, next_cursor: page.next.map(|cursor| cursor.to_string()) })
}

/// The page with each item made into another.
pub(crate) fn map<T, U>(page: Page<T>, item: impl FnMut(T) -> U) -> Page<U> {
    Page { items: page.items.into_iter().map(item).collect(), next: page.next }
}

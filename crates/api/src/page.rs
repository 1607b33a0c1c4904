//! Lists: `?limit=` and `?cursor=` in, `{data, next_cursor}` out.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kernel::{Cursor, ListId, Page, PageRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, ToSchema};

use crate::extract;
use crate::problem::Problem;

/// How many items a page may have.
#[derive(Debug, Clone, Copy)]
struct Limit(u16);

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
struct After(Cursor);

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// What a query says of the page.
const OF_PAGE: [&str; 2] = ["limit", "cursor"];

/// Which page of a list is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many items the page has at most.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<Limit>,
    /// The `next_cursor` of the page before, with the same filters; absent for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

impl PageQuery {
    /// What a query says of the page, and the rest of it.
    fn of(parts: &Parts) -> Result<(Self, Map<String, Value>), Problem> {
        let mut filters = extract::parameters(parts)?;
        let of_page = OF_PAGE.into_iter().filter_map(|name| filters.remove_entry(name)).collect();
        Ok((extract::read(of_page)?, filters))
    }

    /// The page of a list, if the cursor is one that is good for it.
    fn request(self, list: ListId, is_good: impl Fn(Cursor) -> bool) -> Result<PageRequest, Problem> {
        let cursor = self.cursor.map(|After(cursor)| cursor);
        if cursor.is_some_and(|cursor| !is_good(cursor)) {
            return Err(Problem::parameter(
                "cursor",
                "is of another list, or of this one with other filters",
            ));
        }
        Ok(PageRequest::new(self.limit.map(|Limit(limit)| limit), cursor).of(list))
    }
}

/// The list at a path, narrowed by these filters. All servers call it the same, and those of later versions do.
fn list_at(path: &str, filters: &Map<String, Value>) -> ListId {
    let digest = Sha256::digest(serde_json::json!([path, filters]).to_string());
    ListId::from_bytes(digest.first_chunk().copied().unwrap_or_default())
}

/// A page of the list at the request's path, and what narrows that: the query's other parameters. A cursor is good for the list
/// that it was given by, with the same filters, and for no other.
#[derive(Debug)]
pub(crate) struct Listing<F = Whole>(pub(crate) PageRequest, pub(crate) F);

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Listing<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (asked, filters) = PageQuery::of(parts)?;
        let list = list_at(parts.uri.path(), &filters);
        let filter = extract::read_beside(&OF_PAGE, filters)?;
        Ok(Self(asked.request(list, |cursor| cursor.list() == Some(list))?, filter))
    }
}

/// What narrows nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whole {}

/// As [`Listing`], of the feed of events and the trail. That is one order for all who read it, whatever narrows it: a cursor is a
/// place in it under any filter. Whoever follows keeps one for as long as they like, so one of before cursors named a list is good.
#[derive(Debug)]
pub(crate) struct Following<F>(pub(crate) PageRequest, pub(crate) F);

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Following<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (asked, filters) = PageQuery::of(parts)?;
        let feed = list_at("/v1/events", &Map::new());
        let filter = extract::read_beside(&OF_PAGE, filters)?;
        Ok(Self(asked.request(feed, |cursor| cursor.list().is_none_or(|list| list == feed))?, filter))
    }
}

/// The one status that can be asked for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deleted {
    /// Those that were deleted.
    Deleted,
}

/// One page of a list. Items that are added meanwhile do not move the others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The items.
    data: Vec<T>,
    /// The `cursor` of the next page; null on the last. What is there to be followed has one on each page with an item.
    #[schema(required, example = "AZovPF1-erze-N7wEjRWeJABGn4cRkL0")]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Map<String, Value> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
    }

    #[test]
    fn a_list_is_another_by_its_path_and_by_each_filter_in_whatever_order() {
        let all = [
            list_at("/v1/a", &filters(&[])),
            list_at("/v1/b", &filters(&[])),
            list_at("/v1/a", &filters(&[("x", "1")])),
            list_at("/v1/a", &filters(&[("x", "2")])),
            list_at("/v1/a", &filters(&[("x", "1"), ("y", "2")])),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one), "{at}");
        }
        assert_eq!(list_at("/v1/a", &filters(&[("y", "2"), ("x", "1")])), all[4]);
    }
}

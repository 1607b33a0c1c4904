//! What a query asks for. Parameters that are not known are ignored, as `sortBy` is where sorting is not supported
//! (RFC 7644 §3.4.2.3).

use scim::discovery::MAX_RESULTS;
use scim::message::Page;
use scim::{Filter, Projection};
use serde::Deserialize;
use tenancy::user::directory::{Lookup, Window};
use utoipa::IntoParams;

use crate::problem::Problem;

/// Which attributes are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShownQuery {
    /// The attributes to show, with commas between them; `id` and `schemas` always are.
    #[param(example = "userName,active")]
    attributes: Option<String>,
    /// The attributes to leave out, with commas between them. Not together with `attributes`.
    #[serde(rename = "excludedAttributes")]
    #[param(example = "groups")]
    excluded_attributes: Option<String>,
}

impl ShownQuery {
    pub(super) fn projection(&self) -> Result<Projection, Problem> {
        let excluded = self.excluded_attributes.as_deref();
        Ok(Projection::parse(self.attributes.as_deref(), excluded)?)
    }
}

/// Which resources are asked for, and what of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Which ones (RFC 7644 §3.4.2.2); all of them when absent.
    #[param(example = "userName eq \"ada@bakery.example\"")]
    filter: Option<String>,
    /// The index of the first that is shown, from 1; less is 1.
    #[serde(rename = "startIndex")]
    #[param(value_type = Option<i64>, example = 1)]
    start_index: Option<String>,
    /// The most that are shown: 200 when absent or more, none when negative.
    #[param(value_type = Option<i64>, example = 100)]
    count: Option<String>,
    /// The attributes to show, with commas between them; `id` and `schemas` always are.
    #[param(example = "userName,active")]
    attributes: Option<String>,
    /// The attributes to leave out, with commas between them. Not together with `attributes`.
    #[serde(rename = "excludedAttributes")]
    #[param(example = "groups")]
    excluded_attributes: Option<String>,
}

/// A list that was asked for, understood.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) filter: Option<Filter>,
    pub(super) page: Page,
    pub(super) projection: Projection,
}

impl ListQuery {
    pub(super) fn read(&self) -> Result<Asked, Problem> {
        let filter = self.filter.as_deref().filter(|text| !text.trim().is_empty());
        let excluded = self.excluded_attributes.as_deref();
        Ok(Asked {
            filter: filter.map(Filter::parse).transpose()?,
            page: Page::parse(self.start_index.as_deref(), self.count.as_deref(), MAX_RESULTS)?,
            projection: Projection::parse(self.attributes.as_deref(), excluded)?,
        })
    }
}

impl Asked {
    pub(super) fn window(&self) -> Window {
        Window { offset: self.page.offset(), limit: self.page.count }
    }

    /// Whether the filter is about an attribute, or may be.
    pub(super) fn filters_by(&self, attribute: &str) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.to_string().to_ascii_lowercase().contains(attribute))
    }

    /// What an index can say of the users that the filter matches.
    pub(super) fn lookup(&self) -> Lookup {
        let equality = |path| self.filter.as_ref()?.equality(path);
        if let Some(id) = equality("id") {
            return id.parse().map_or(Lookup::Nobody, Lookup::Id);
        }
        match (equality("externalId"), equality("userName").or_else(|| equality("emails.value"))) {
            // No text of the database's has this character.
            (Some(text), _) | (_, Some(text)) if text.contains('\0') => Lookup::Nobody,
            (Some(external_id), _) => Lookup::ExternalId(external_id.to_owned()),
            (None, Some(address)) => Lookup::Address(address.to_owned()),
            (None, None) => Lookup::Everyone,
        }
    }
}

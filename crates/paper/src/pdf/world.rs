//! All that the markup can reach: itself, the fonts and one document's values.

use std::sync::OnceLock;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Dict, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

use super::fonts::fonts;

/// A world with one file and no clock.
pub(super) struct Page {
    library: LazyHash<Library>,
}

impl Page {
    /// A world whose `sys.inputs` are a document's values.
    pub(super) fn new(values: Dict) -> Self {
        Self { library: LazyHash::new(Library::builder().with_inputs(values).build()) }
    }
}

/// The markup, parsed once.
fn markup() -> &'static Source {
    static MARKUP: OnceLock<Source> = OnceLock::new();
    MARKUP.get_or_init(|| {
        let path = VirtualPath::new("invoice.typ").expect("a plain file name is a path");
        let id = RootedPath::new(VirtualRoot::Project, path).intern();
        Source::new(id, include_str!("invoice.typ").to_owned())
    })
}

impl World for Page {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &fonts().book
    }

    fn main(&self) -> FileId {
        markup().id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == markup().id() { Ok(markup().clone()) } else { Err(FileError::AccessDenied) }
    }

    /// Nothing: a logo comes as bytes, and what it refers to is not fetched.
    fn file(&self, _: FileId) -> FileResult<Bytes> {
        Err(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        fonts().fonts.get(index).cloned()
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}

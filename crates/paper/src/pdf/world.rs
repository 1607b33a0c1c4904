//! All that the markup can reach: itself, the fonts and one document's values.

use std::sync::OnceLock;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Dict, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

use super::fonts::fonts;

/// What is set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Markup {
    Document,
    Statement,
}

/// A world of a few files and no clock.
pub(super) struct Page {
    library: LazyHash<Library>,
    main: FileId,
}

impl Page {
    /// A world whose `sys.inputs` are a document's values.
    pub(super) fn new(markup: Markup, values: Dict) -> Self {
        let [_, document, statement] = sources();
        let main = match markup {
            Markup::Document => document.id(),
            Markup::Statement => statement.id(),
        };
        Self { library: LazyHash::new(Library::builder().with_inputs(values).build()), main }
    }
}

/// The markup, parsed once: what all pages share, and each page.
fn sources() -> &'static [Source; 3] {
    static SOURCES: OnceLock<[Source; 3]> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let files = [
            ("parts.typ", include_str!("parts.typ")),
            ("invoice.typ", include_str!("invoice.typ")),
            ("statement.typ", include_str!("statement.typ")),
        ];
        files.map(|(name, text)| {
            let path = VirtualPath::new(name).expect("a plain file name is a path");
            Source::new(RootedPath::new(VirtualRoot::Project, path).intern(), text.to_owned())
        })
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
        self.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        sources().iter().find(|source| source.id() == id).cloned().ok_or(FileError::AccessDenied)
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

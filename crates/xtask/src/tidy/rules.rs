//! Who may mention what, what things are called, and how long a file may be.

use super::{Finding, code};

/// A file near 500 lines should be split; here it must be.
const LONGEST_FILE: usize = 600;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 4] = ["common", "helpers", "util", "utils"];
/// Marks of unfinished work; the issue that finishes it goes with them.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Words that only some files may use, as a whole word or as the beginning of one up to an underscore.
const MENTIONS: [Mention; 4] = [
    Mention {
        words: &["axum", "utoipa"],
        allowed: |file| file.krate == "api",
        whose: "only api mentions it",
    },
    Mention { words: &["aws_sdk_s3"], allowed: |file| file.krate == "blob", whose: "only blob mentions it" },
    Mention {
        words: &["sqlx"],
        allowed: |file| {
            file.krate == "db" || file.has_part("store") || file.path == "crates/tenancy/src/tx.rs"
        },
        whose: "only store modules, tenancy::tx and db mention it",
    },
    Mention {
        words: &["tokio", "sqlx"],
        allowed: |file| !file.has_part("codec"),
        whose: "codec code is pure",
    },
];

struct Mention {
    words: &'static [&'static str],
    allowed: fn(&SourceFile) -> bool,
    whose: &'static str,
}

/// A file below `crates/`.
struct SourceFile<'a> {
    path: &'a str,
    krate: &'a str,
    /// `src`, `tests`, `examples` …
    area: &'a str,
    /// Its modules' names below the area, its own included.
    parts: Vec<&'a str>,
}

impl<'a> SourceFile<'a> {
    fn new(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix("crates/")?.strip_suffix(".rs")?.split('/');
        let (krate, area) = (parts.next()?, parts.next()?);
        Some(Self { path, krate, area, parts: parts.collect() })
    }

    fn has_part(&self, name: &str) -> bool {
        self.parts.contains(&name)
    }

    /// Tests and what is only for tests may mention anything and be of any length.
    fn is_for_tests(&self) -> bool {
        self.area != "src" || self.krate == "testkit" || self.has_part("tests")
    }
}

/// Checks one file by its path from the root, with slashes.
pub(super) fn check(path: &str, source: &str) -> Vec<Finding> {
    let Some(file) = SourceFile::new(path) else { return Vec::new() };
    let mut found = Vec::new();
    let mut add = |line: usize, what: String| found.push(Finding { path: path.to_owned(), line, what });
    for (index, line) in source.lines().enumerate() {
        if let Some(mark) = MARKS.iter().find(|mark| is_open_mark(line, mark)) {
            add(index + 1, format!("{mark} without the number of an issue"));
        }
    }
    for name in file.parts.iter().chain([&file.krate]).filter(|name| EMPTY_NAMES.contains(name)) {
        add(0, format!("{name} says nothing; name it after what is inside"));
    }
    if file.is_for_tests() {
        return found;
    }
    let lines = source.lines().count();
    if lines > LONGEST_FILE {
        add(0, format!("{lines} lines; split it (at most {LONGEST_FILE})"));
    }
    let code = code::only(without_tests(source));
    for mention in MENTIONS.iter().filter(|mention| !(mention.allowed)(&file)) {
        for (line, word) in code::words(&code) {
            if mention.words.iter().any(|reserved| is_or_extends(word, reserved)) {
                add(line, format!("mentions {word}: {}", mention.whose));
            }
        }
    }
    found
}

/// The source up to its unit tests, which stand last in a file.
fn without_tests(source: &str) -> &str {
    let tests = source.match_indices("#[cfg(test)]\n").find(|(at, attribute)| {
        let item = source[at + attribute.len()..].trim_start();
        item.starts_with("mod ") && item.lines().next().is_some_and(|line| line.ends_with('{'))
    });
    tests.map_or(source, |(at, _)| &source[..at])
}

fn is_or_extends(word: &str, reserved: &str) -> bool {
    word.strip_prefix(reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Whether the mark stands in the line as a word, without `#` and a number behind it.
fn is_open_mark(line: &str, mark: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(at, _)| {
        let after = &line[at + mark.len()..];
        let whole = !line[..at].ends_with(is_word) && !after.starts_with(is_word);
        let issue = after.trim_start_matches([' ', '(', ':']).strip_prefix('#');
        whole && !issue.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, source: &str) -> Vec<(usize, String)> {
        check(path, source).into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    fn one(path: &str, source: &str) -> (usize, String) {
        let mut found = findings(path, source);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        found.remove(0)
    }

    #[test]
    fn only_api_mentions_axum_and_utoipa() {
        assert_eq!(findings("crates/api/src/lib.rs", "use axum::Router; use utoipa_axum::x;"), []);
        let found = one("crates/server/src/main.rs", "fn f() {}\nuse axum::Router;");
        assert_eq!(found, (2, "mentions axum: only api mentions it".to_owned()));
        assert_eq!(one("crates/server/src/main.rs", "use utoipa_axum::x;").0, 1);
    }

    #[test]
    fn only_blob_mentions_the_s3_client() {
        assert_eq!(findings("crates/blob/src/s3.rs", "use aws_sdk_s3::Client;"), []);
        assert_eq!(one("crates/mailstore/src/message.rs", "use aws_sdk_s3::Client;").0, 1);
    }

    #[test]
    fn sqlx_stays_in_stores_the_tenants_transaction_and_db() {
        for path in [
            "crates/db/src/lib.rs",
            "crates/tenancy/src/tx.rs",
            "crates/tenancy/src/user/store.rs",
            "crates/mailstore/src/store/message.rs",
        ] {
            assert_eq!(findings(path, "use sqlx::PgConnection;"), [], "{path}");
        }
        for path in
            ["crates/tenancy/src/user.rs", "crates/billing/src/tx.rs", "crates/mailstore/src/storefront.rs"]
        {
            assert_eq!(one(path, "sqlx::query!(\"x\")").0, 1, "{path}");
        }
    }

    #[test]
    fn codec_code_is_pure() {
        assert_eq!(findings("crates/pop3/src/session.rs", "use tokio::io;"), []);
        assert_eq!(one("crates/pop3/src/codec.rs", "use tokio::io;").1, "mentions tokio: codec code is pure");
        assert_eq!(one("crates/smtp/src/codec/reply.rs", "use tokio_util::codec;").0, 1);
        assert_eq!(findings("crates/smtp/src/codec/store.rs", "use sqlx::x;").len(), 1);
    }

    #[test]
    fn tests_may_mention_anything() {
        for path in
            ["crates/server/tests/it/main.rs", "crates/testkit/src/lib.rs", "crates/server/src/user/tests.rs"]
        {
            assert_eq!(findings(path, "use sqlx::x; use axum::y;"), [], "{path}");
        }
        let unit = "use kernel::Env;\n#[cfg(test)]\nmod tests {\n    use sqlx::x;\n}\n";
        assert_eq!(findings("crates/server/src/main.rs", unit), []);
        let hidden = "#[cfg(test)]\nfn f() {}\nuse sqlx::x;\n";
        assert_eq!(one("crates/server/src/main.rs", hidden).0, 3);
    }

    #[test]
    fn words_in_comments_and_strings_are_no_mentions() {
        assert_eq!(findings("crates/server/src/log.rs", "// sqlx is noisy\nlet filter = \"sqlx=warn\";"), []);
    }

    #[test]
    fn empty_names_are_found() {
        assert_eq!(one("crates/api/src/utils.rs", "").1, "utils says nothing; name it after what is inside");
        assert_eq!(findings("crates/api/src/common/x.rs", "").len(), 1);
        assert_eq!(findings("crates/common/src/lib.rs", "").len(), 1);
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(findings("crates/api/src/x.rs", &"\n".repeat(LONGEST_FILE)), []);
        assert_eq!(
            one("crates/api/src/x.rs", &"\n".repeat(LONGEST_FILE + 1)).1,
            "601 lines; split it (at most 600)"
        );
        assert_eq!(findings("crates/api/tests/it/x.rs", &"\n".repeat(LONGEST_FILE + 1)), []);
    }

    #[test]
    fn unfinished_work_names_its_issue() {
        for mark in MARKS {
            assert_eq!(one("crates/api/tests/it/x.rs", &format!("\n// {mark}: later")).0, 2);
            assert_eq!(
                findings("crates/api/src/x.rs", &format!("// {mark}(#12): later\n// {mark} #7\n")),
                []
            );
            assert_eq!(findings("crates/api/src/x.rs", &format!("// {mark}S and x{mark}\n")), []);
        }
    }
}

//! Where objects are kept, as a URL says it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where objects are kept. Its `Display` is a URL that parses back and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `memory:`: nowhere. For tests.
    Memory,
    /// `file:///dir`: below an absolute path.
    Directory(PathBuf),
    /// `s3://bucket/prefix?endpoint=…&region=…&path_style=…`
    S3(S3Location),
}

/// A bucket of an S3-compatible service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket; it must exist.
    pub bucket: String,
    /// What comes before each key, without a slash at either end; empty for none.
    pub prefix: String,
    /// The service's address, `http` or `https`; `None` for AWS itself (or `AWS_ENDPOINT_URL_S3`).
    pub endpoint: Option<Url>,
    /// The region that requests are signed for; `None` takes it from the usual AWS sources.
    pub region: Option<String>,
    /// Whether the bucket goes into the path rather than into the host's name. A URL that names an endpoint and says nothing
    /// else means true.
    pub path_style: bool,
}

/// Why a text is no [`Location`]. The texts never repeat a part of the URL that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It does not parse as a URL.
    #[error("not a URL ({0}): write file:///dir or s3://bucket/prefix?endpoint=…&region=…&path_style=true")]
    NotAUrl(url::ParseError),
    /// Another scheme than the known ones.
    #[error("unknown scheme {0:?}: known are file and s3")]
    UnknownScheme(String),
    /// A user name or a password in the URL.
    #[error("credentials do not belong into the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    Credentials,
    /// A `#fragment`, or a query or port where none belongs.
    #[error("the URL has a {0}, which means nothing here")]
    Superfluous(&'static str),
    /// A file URL without an absolute path, or with another host.
    #[error("a directory is written file:///absolute/path")]
    BadDirectory,
    /// No bucket.
    #[error("the bucket is missing: write s3://bucket/prefix")]
    MissingBucket,
    /// Not a name that a bucket can have.
    #[error(
        "a bucket's name has 3 to 63 characters, each a lower-case letter, a digit, a dot or a hyphen, a letter or digit at both ends"
    )]
    BadBucket,
    /// A prefix that would not survive as a path.
    #[error(
        "a prefix is made of letters, digits, '.', '_' and '-' between single slashes, without '.' and '..' as parts"
    )]
    BadPrefix,
    /// A query parameter that means nothing.
    #[error(
        "unknown query parameter {0:?}: known are endpoint, region and path_style; credentials come from the AWS variables"
    )]
    UnknownParameter(String),
    /// A query parameter that comes twice.
    #[error("the query parameter {0} comes twice")]
    DuplicateParameter(&'static str),
    /// Not the address of a service.
    #[error("endpoint must be http://host:port or https://host:port, without credentials, path or query")]
    BadEndpoint,
    /// Not the name of a region.
    #[error("region must be made of letters, digits and hyphens")]
    BadRegion,
    /// Neither `true` nor `false`.
    #[error("path_style must be true or false")]
    BadPathStyle,
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let url = Url::parse(text).map_err(LocationError::NotAUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LocationError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(LocationError::Superfluous("fragment"));
        }
        match url.scheme() {
            "memory" if text == "memory:" => Ok(Self::Memory),
            "file" => parse_directory(&url).map(Self::Directory),
            "s3" => parse_s3(&url).map(Self::S3),
            scheme => Err(LocationError::UnknownScheme(scheme.to_owned())),
        }
    }
}

fn parse_directory(url: &Url) -> Result<PathBuf, LocationError> {
    if url.query().is_some() {
        return Err(LocationError::Superfluous("query"));
    }
    let path = url.to_file_path().map_err(|()| LocationError::BadDirectory)?;
    // The root of the file system is never meant: it is what is left of `file://` with the directory forgotten.
    if path.parent().is_none() { Err(LocationError::BadDirectory) } else { Ok(path) }
}

fn parse_s3(url: &Url) -> Result<S3Location, LocationError> {
    if url.port().is_some() {
        return Err(LocationError::Superfluous("port"));
    }
    let bucket = match url.host() {
        Some(Host::Domain(bucket)) if !bucket.is_empty() => bucket.to_owned(),
        Some(Host::Domain(_)) | None => return Err(LocationError::MissingBucket),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(LocationError::BadBucket),
    };
    if !is_bucket(&bucket) {
        return Err(LocationError::BadBucket);
    }
    let path = url.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let prefix = path.strip_suffix('/').unwrap_or(path).to_owned();
    if !prefix.is_empty() && !prefix.split('/').all(is_prefix_part) {
        return Err(LocationError::BadPrefix);
    }
    let (mut endpoint, mut region, mut path_style) = (None, None, None);
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "endpoint" => once("endpoint", &mut endpoint, parse_endpoint(&value)?)?,
            "region" => once("region", &mut region, parse_region(&value)?)?,
            "path_style" => {
                let value = value.parse::<bool>().map_err(|_| LocationError::BadPathStyle)?;
                once("path_style", &mut path_style, value)?;
            }
            _ => return Err(LocationError::UnknownParameter(name.into_owned())),
        }
    }
    let path_style = path_style.unwrap_or(endpoint.is_some());
    Ok(S3Location { bucket, prefix, endpoint, region, path_style })
}

fn once<T>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), LocationError> {
    if slot.replace(value).is_some() { Err(LocationError::DuplicateParameter(name)) } else { Ok(()) }
}

fn is_bucket(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && edge(name.bytes().next())
        && edge(name.bytes().last())
}

fn is_prefix_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn parse_endpoint(value: &str) -> Result<Url, LocationError> {
    let url = Url::parse(value).map_err(|_| LocationError::BadEndpoint)?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && bare {
        Ok(url)
    } else {
        Err(LocationError::BadEndpoint)
    }
}

fn parse_region(value: &str) -> Result<String, LocationError> {
    let good = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if good { Ok(value.to_owned()) } else { Err(LocationError::BadRegion) }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Directory(path) => match Url::from_file_path(path) {
                Ok(url) => write!(f, "{url}"),
                // A relative path has no URL; it is shown as it is.
                Err(()) => write!(f, "{}", path.display()),
            },
            Self::S3(s3) => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                if let Some(endpoint) = &s3.endpoint {
                    query.append_pair("endpoint", endpoint.as_str().trim_end_matches('/'));
                }
                if let Some(region) = &s3.region {
                    query.append_pair("region", region);
                }
                query.append_pair("path_style", if s3.path_style { "true" } else { "false" });
                write!(f, "s3://{}/{}?{}", s3.bucket, s3.prefix, query.finish())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Location, LocationError> {
        text.parse()
    }

    fn s3(text: &str) -> S3Location {
        match parse(text) {
            Ok(Location::S3(location)) => location,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn good_ones() {
        assert_eq!(parse("memory:"), Ok(Location::Memory));
        assert_eq!(
            parse("file:///var/lib/pillarbox/blobs"),
            Ok(Location::Directory("/var/lib/pillarbox/blobs".into()))
        );
        assert_eq!(parse("file:///a%20b"), Ok(Location::Directory("/a b".into())));
        let full = s3("s3://mail/eu/one/?endpoint=http://127.0.0.1:3900&region=garage&path_style=false");
        assert_eq!((full.bucket.as_str(), full.prefix.as_str()), ("mail", "eu/one"));
        assert_eq!(full.endpoint.as_ref().map(Url::as_str), Some("http://127.0.0.1:3900/"));
        assert_eq!((full.region.as_deref(), full.path_style), (Some("garage"), false));
        let bare = s3("s3://mail");
        assert_eq!(
            (bare.prefix.as_str(), bare.endpoint, bare.region, bare.path_style),
            ("", None, None, false)
        );
        assert!(s3("s3://mail?endpoint=https://s3.example.net").path_style, "an endpoint's default");
    }

    #[test]
    fn bad_ones_say_why() {
        use LocationError as E;
        let unknown = |name: &str| E::UnknownParameter(name.into());
        for (text, error) in [
            ("/var/lib/blobs", E::NotAUrl(url::ParseError::RelativeUrlWithoutBase)),
            ("gs://mail/x", E::UnknownScheme("gs".into())),
            ("memory:x", E::UnknownScheme("memory".into())),
            ("file://", E::BadDirectory),
            ("file:///", E::BadDirectory),
            ("file://host/dir", E::BadDirectory),
            ("file:///dir?x=1", E::Superfluous("query")),
            ("file:///dir#x", E::Superfluous("fragment")),
            ("s3://", E::MissingBucket),
            ("s3:///prefix", E::MissingBucket),
            ("s3:mail", E::MissingBucket),
            ("s3://key:secret@mail/x", E::Credentials),
            ("s3://key@mail/x", E::Credentials),
            ("s3://mail:9000/x", E::Superfluous("port")),
            ("s3://Mail/x", E::BadBucket),
            ("s3://ma_il/x", E::BadBucket),
            ("s3://ab", E::BadBucket),
            ("s3://-mail", E::BadBucket),
            ("s3://mail//x", E::BadPrefix),
            ("s3://mail/a//b", E::BadPrefix),
            ("s3://mail/a%20b", E::BadPrefix),
            ("s3://mail?endpoint=127.0.0.1:3900", E::BadEndpoint),
            ("s3://mail?endpoint=ftp://h", E::BadEndpoint),
            ("s3://mail?endpoint=http://k:s@h", E::BadEndpoint),
            ("s3://mail?endpoint=http://h/path", E::BadEndpoint),
            ("s3://mail?region=", E::BadRegion),
            ("s3://mail?path_style=yes", E::BadPathStyle),
            ("s3://mail?region=a&region=b", E::DuplicateParameter("region")),
            ("s3://mail?pathstyle=true", unknown("pathstyle")),
            ("s3://mail?access_key_id=AKIA", unknown("access_key_id")),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn no_error_repeats_a_secret() {
        for text in [
            "s3://key:hunter22@mail/x",
            "s3://mail?secret=hunter22",
            "s3://mail?endpoint=http://k:hunter22@h",
        ] {
            let shown = parse(text).unwrap_err().to_string();
            assert!(!shown.contains("hunter22"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(
            bucket in "[a-z0-9][a-z0-9.-]{1,40}[a-z]",
            prefix in "([a-z0-9_-]{1,9}(/[A-Z0-9_-]{1,9}){0,2})?",
            endpoint in proptest::option::of("https?://[a-z]{1,9}(:[1-9][0-9]{3})?"),
            region in proptest::option::of("[a-z]{2}-[a-z]{4}-[0-9]"),
            path_style in any::<bool>(),
        ) {
            let endpoint = endpoint.map(|text| Url::parse(&text).unwrap());
            let location = Location::S3(S3Location { bucket, prefix, endpoint, region, path_style });
            prop_assert_eq!(location.to_string().parse(), Ok(location));
        }

        #[test]
        fn directories_parse_back(path in "(/[^/\0]{1,12}){1,4}") {
            prop_assume!(path.split('/').all(|part| !matches!(part, "." | "..")));
            let location = Location::Directory(path.into());
            prop_assert_eq!(location.to_string().parse(), Ok(location));
        }

        #[test]
        fn any_text_is_answered(text in "(s3|file|memory)?:?/{0,3}\\PC{0,40}") {
            let _ = text.parse::<Location>();
        }
    }
}

//! The definitions themselves.

use super::{Attribute, GROUP_URN, Kind, MAILBOX_URN, Mutability, Returned, Schema, USER_URN, Uniqueness};

impl Attribute {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self {
            name,
            kind,
            multi_valued: false,
            description,
            required: false,
            case_exact: false,
            is_address: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            canonical_values: &[],
            reference_types: &[],
            sub_attributes: &[],
        }
    }

    const fn string(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::String, description)
    }

    const fn address(name: &'static str, description: &'static str) -> Self {
        Self { is_address: true, ..Self::string(name, description) }
    }

    const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Boolean, description)
    }

    const fn reference(
        name: &'static str,
        description: &'static str,
        types: &'static [&'static str],
    ) -> Self {
        Self { reference_types: types, case_exact: true, ..Self::new(name, Kind::Reference, description) }
    }

    const fn complex(name: &'static str, description: &'static str, sub: &'static [Attribute]) -> Self {
        Self { sub_attributes: sub, ..Self::new(name, Kind::Complex, description) }
    }

    const fn many(self) -> Self {
        Self { multi_valued: true, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    const fn unique(self) -> Self {
        Self { uniqueness: Uniqueness::Server, ..self }
    }

    const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    const fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    const fn usual(self, values: &'static [&'static str]) -> Self {
        Self { canonical_values: values, ..self }
    }

    const fn always(self) -> Self {
        Self { returned: Returned::Always, ..self }
    }
}

const META: &[Attribute] = &[
    Attribute::string("resourceType", "The resource's type").exact().read_only(),
    Attribute::new("created", Kind::DateTime, "When it was created").read_only(),
    Attribute::new("lastModified", Kind::DateTime, "When it last changed").read_only(),
    Attribute::reference("location", "Its URI", &["uri"]).read_only(),
    Attribute::string("version", "Its entity tag").exact().read_only(),
];

/// What every resource has. RFC 7643 §3.1; not part of any schema's document.
pub const COMMON: &[Attribute] = &[
    Attribute::string("schemas", "The URNs of the resource's schemas")
        .many()
        .required()
        .exact()
        .read_only()
        .always(),
    Attribute::string("id", "Given by the server, never reused").exact().unique().read_only().always(),
    Attribute::string("externalId", "The client's own identifier").exact(),
    Attribute::complex("meta", "Where and when", META).read_only(),
];

const NAME: &[Attribute] = &[
    Attribute::string("formatted", "The whole name, for display"),
    Attribute::string("familyName", "Family name"),
    Attribute::string("givenName", "Given name"),
];

const EMAIL: &[Attribute] = &[
    Attribute::address("value", "The address"),
    Attribute::string("display", "The address, for display"),
    Attribute::string("type", "What it is for").usual(&["work", "home", "other"]),
    Attribute::boolean("primary", "Whether it is the preferred address; at most one is"),
];

const ROLE: &[Attribute] = &[
    Attribute::string("value", "The role"),
    Attribute::string("display", "The role, for display"),
    Attribute::string("type", "What it is for"),
    Attribute::boolean("primary", "Whether it is the main role; at most one is"),
];

const GROUP_OF_USER: &[Attribute] = &[
    Attribute::string("value", "The group's id").exact().read_only(),
    Attribute::reference("$ref", "The group's URI", &["Group"]).read_only(),
    Attribute::string("display", "The group's name").read_only(),
    Attribute::string("type", "How the user belongs to it").usual(&["direct"]).read_only(),
];

/// The user. RFC 7643 §4.1, as far as a mailbox has a use for it.
pub static USER: Schema = Schema {
    id: USER_URN,
    name: "User",
    description: "A person with a mailbox",
    attributes: &[
        Attribute::address("userName", "The sign-in address, unique in the tenant").required().unique(),
        Attribute::complex("name", "The person's name", NAME),
        Attribute::string("displayName", "The name shown to others"),
        Attribute::boolean("active", "Whether the user may sign in"),
        Attribute {
            mutability: Mutability::WriteOnly,
            returned: Returned::Never,
            ..Attribute::string("password", "A password to set").exact()
        },
        Attribute::complex("emails", "The user's addresses", EMAIL).many(),
        Attribute::complex("groups", "The groups that the user belongs to", GROUP_OF_USER).many().read_only(),
        Attribute::complex("roles", "The user's roles in the client's words", ROLE).many(),
    ],
};

const MEMBER: &[Attribute] = &[
    Attribute::string("value", "The member's id").exact().immutable(),
    Attribute::reference("$ref", "The member's URI", &["User", "Group"]).immutable(),
    Attribute::string("display", "The member's name").read_only(),
    Attribute::string("type", "The member's resource type").usual(&["User", "Group"]).immutable(),
];

/// The group. RFC 7643 §4.2.
pub static GROUP: Schema = Schema {
    id: GROUP_URN,
    name: "Group",
    description: "A list of users",
    attributes: &[
        Attribute::string("displayName", "The group's name").required(),
        Attribute::complex("members", "Who belongs to it", MEMBER).many(),
    ],
};

/// Our extension of the user.
pub static MAILBOX: Schema = Schema {
    id: MAILBOX_URN,
    name: "Mailbox",
    description: "What Pillarbox keeps about a user's mailbox",
    attributes: &[
        Attribute::new("quotaBytes", Kind::Integer, "The mailbox's limit in bytes; absent: unlimited"),
        Attribute::address("aliases", "Further addresses that deliver to the mailbox").many(),
        Attribute::string("role", "The user's role in the tenant"),
    ],
};

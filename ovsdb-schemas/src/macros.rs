//! What a line of `generated/` expands to.

/// A module with the names of a table and its columns, and a struct for its rows.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $name:ident in $module:ident = $table:literal {
            $(
                $(#[$column_meta:meta])*
                $constant:ident $field:ident: $type:ty = $read:ident($column:literal),
            )*
        }
    ) => {
        #[doc = concat!("The names of `", $table, "` and its columns.")]
        pub mod $module {
            #[doc = concat!("The table `", $table, "`.")]
            pub const TABLE: &str = $table;
            $(
                #[doc = concat!("The column `", $column, "`.")]
                pub const $constant: &str = $column;
            )*
        }

        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            /// The row's identifier.
            pub uuid: Uuid,
            $(
                #[doc = concat!("The column `", $column, "`.")]
                #[doc = ""]
                $(#[$column_meta])*
                pub $field: $type,
            )*
        }

        impl ovsdb::Table for $name {
            const NAME: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$($column),*];

            fn from_row(row: &ovsdb::Row) -> Result<Self, ovsdb::DecodeError> {
                Ok(Self {
                    uuid: row.uuid(),
                    $($field: row.$read($column)?,)*
                })
            }
        }
    };
}

/// An enumeration of texts that tolerates values a newer schema may have added.
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $name:ident { $($variant:ident = $text:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(
                #[doc = concat!("`", $text, "`")]
                $variant,
            )*
            /// A value the schema this was generated from does not know.
            Other(String),
        }

        impl $name {
            /// The value as the database spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl ovsdb::FromAtom for $name {
            const KIND: ovsdb::AtomKind = ovsdb::AtomKind::String;

            fn from_atom(atom: &ovsdb::Atom) -> Option<Self> {
                atom.as_str().map(Self::from)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use {table, text_enum};

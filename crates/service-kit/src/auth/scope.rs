//! [`Scope`]: what a key may be used for. None includes another.

use std::fmt;

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Sending events.
    Produce,
    /// Reading events and figures.
    Read,
    /// The levers of the workers, and everything in the console.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Produce, Self::Read, Self::Admin];

    /// The word for it in configuration and problems.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// The scope of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes([bool; Scope::ALL.len()]);

impl Scopes {
    /// Whether it has this one.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0[scope as usize]
    }

    /// Those that it has.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::default();
        for scope in scopes {
            set.0[scope as usize] = true;
        }
        set
    }
}

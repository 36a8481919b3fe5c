//! Reads one table: settings of the right type, variables filled in, each with its place noted.

use super::{
    address::{ExpandProblem, expand, expand_url},
    mask::MASK,
    quantity::{parse_duration, parse_size},
    schema::{TABLES, closest},
    source::{Problem, Source},
};
use crate::placement::Custom;
use std::{cell::RefCell, ops::Range, path::PathBuf, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

type Result<T, E = Problem> = std::result::Result<T, E>;

/// What sections of one file share.
pub(super) struct File<'a> {
    pub(super) source: RefCell<Source<'a>>,
    pub(super) directory: PathBuf,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The functions that a placement may name.
    pub(super) customs: &'a [Custom],
}

/// One table, whose keys are all known.
pub(super) struct Section<'a, 'f> {
    pub(super) file: &'a File<'f>,
    pub(super) path: String,
    pub(super) table: &'a DeTable<'a>,
}

impl<'a, 'f> Section<'a, 'f> {
    /// Notes where each setting is, and refuses unknown ones: first of all, or a misspelt setting would be reported missing.
    pub(super) fn open(
        file: &'a File<'f>,
        path: String,
        table: &'a DeTable<'a>,
        known: &[&'static str],
    ) -> Result<Section<'a, 'f>> {
        let section = Section { file, path, table };
        let mut unknown: Option<Spanned<&str>> = None;
        for (key, value) in table.iter() {
            let is_table = matches!(value.get_ref(), DeValue::Table(_));
            let at = if is_table { key.span() } else { value.span() };
            file.source
                .borrow_mut()
                .locate(&section.path_of(key.get_ref()), at);
            // The first in the file, not in the alphabet.
            let first = unknown
                .as_ref()
                .is_none_or(|earlier| key.span().start < earlier.span().start);
            if first && !known.contains(&key.get_ref().as_ref()) {
                unknown = Some(Spanned::new(key.span(), key.get_ref()));
            }
        }
        match unknown {
            None => Ok(section),
            Some(key) => Err(section.unknown(key.get_ref(), key.span(), known)),
        }
    }

    pub(super) fn unknown(&self, key: &str, at: Range<usize>, known: &[&'static str]) -> Problem {
        let is_hidden = self.file.source.borrow().is_hidden(at.clone());
        let key = if is_hidden { MASK } else { key };
        let elsewhere = TABLES.iter().find(|(_, settings)| settings.contains(&key));
        let help = match (closest(key, known), elsewhere) {
            // The rest of a password without quotes, which has a comma in it.
            _ if is_hidden => "put the value before it in quotes".to_owned(),
            (_, Some((table, _))) => format!("{key} belongs in {table}"),
            (Some(meant), None) => format!("did you mean {meant}?"),
            (None, None) => "remove it".to_owned(),
        };
        self.problem(key, format!("unknown setting {key}"))
            .at(at)
            .expected(format!("one of {}", known.join(", ")))
            .help(help)
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    pub(super) fn problem(&self, key: &str, what: impl Into<String>) -> Problem {
        Problem::new(self.path_of(key), what)
    }

    pub(super) fn wrong_type(
        &self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        shape: &str,
    ) -> Problem {
        let name = path.rsplit('.').next().unwrap_or(path);
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(name, format!("{found} where {wanted} is needed"))
            .at(value.span())
            .expected(shape)
            .help(format!("write {wanted}"))
    }

    pub(super) fn hide(&self, secret: &str) {
        self.file.source.borrow_mut().hide(secret, "***".to_owned());
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    pub(super) fn table(
        &self,
        key: &str,
        known: &[&'static str],
    ) -> Result<Option<Section<'a, 'f>>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let Some(table) = value.get_ref().as_table() else {
            let shape = format!("a table: [{}]", self.path_of(key));
            return Err(self.wrong_type(key, value, "a table", &shape));
        };
        Section::open(self.file, self.path_of(key), table, known).map(Some)
    }

    pub(super) fn raw(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some(text)),
            _ => Err(self.wrong_type(
                key,
                value,
                "a string",
                &format!("a text in quotes: {key} = \"...\""),
            )),
        }
    }

    pub(super) fn required_raw(&self, key: &str, example: &str) -> Result<&'a str> {
        self.raw(key)?.ok_or_else(|| {
            let what = match self.path.as_str() {
                "" => format!("there is no {key}"),
                path => format!("[{path}] has no {key}"),
            };
            self.problem("", what)
                .expected(format!("{key}, which has no default"))
                .help(format!("add {example}"))
        })
    }

    pub(super) fn required_text(&self, key: &str, example: &str) -> Result<String> {
        let text = self.required_raw(key, example)?;
        self.expand(key, text, self.span(key))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        self.raw(key)?
            .map(|text| self.expand(key, text, self.span(key)))
            .transpose()
    }

    pub(super) fn span(&self, key: &str) -> Range<usize> {
        self.get(key).map_or(0..0, Spanned::span)
    }

    pub(super) fn lookup(&self, name: &str) -> Result<String, ExpandProblem> {
        let value = (self.file.env)(name).ok_or_else(|| ExpandProblem::Unset(name.to_owned()))?;
        self.file
            .source
            .borrow_mut()
            .hide(&value, format!("${{{name}}}"));
        Ok(value)
    }

    pub(super) fn expand(&self, key: &str, text: &str, at: Range<usize>) -> Result<String> {
        expand(text, &mut |name, _| self.lookup(name))
            .map_err(|problem| self.expand_problem(key, problem).at(at))
    }

    pub(super) fn expand_url(&self, template: &str) -> Result<String> {
        expand_url(template, &mut |name| self.lookup(name))
            .map_err(|problem| self.expand_problem("url", problem))
    }

    pub(super) fn expand_problem(&self, key: &str, problem: ExpandProblem) -> Problem {
        let expected = "${NAME} for a variable of the environment that is set, $$ for a dollar";
        match problem {
            ExpandProblem::Unset(name) => self
                .problem(key, format!("the variable {name} is not set"))
                .expected(expected)
                .help(format!("set {name} in the environment of this process")),
            ExpandProblem::LoneDollar => self
                .problem(key, "a $ that starts no variable")
                .expected(expected)
                .help("write $$ if a dollar is meant; a variable's name has letters, digits and _ only"),
        }
    }

    /// A path; relative ones start at the file's directory.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        if text.is_empty() {
            return Err(self
                .problem(key, format!("{key} is empty"))
                .expected("the path of a file; relative ones start at the directory of this file")
                .help("leave it out if there is none"));
        }
        Ok(Some(self.file.directory.join(text)))
    }

    pub(super) fn choice<T: Copy + Default>(&self, key: &str, choices: &[(&str, T)]) -> Result<T> {
        let Some(text) = self.text(key)? else {
            return Ok(T::default());
        };
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let help = match closest(&text, &names) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("leave it out for the default, {}", quoted[0]),
        };
        Err(self
            .problem(key, format!("unknown {key}"))
            .expected(quoted.join(" or "))
            .help(help))
    }

    pub(super) fn flag(&self, key: &str, flag: &mut bool) -> Result<()> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        *flag = value.get_ref().as_bool().ok_or_else(|| {
            self.wrong_type(
                key,
                value,
                "true or false",
                &format!("{key} = true or {key} = false"),
            )
        })?;
        Ok(())
    }

    pub(super) fn duration(&self, key: &str, duration: &mut Duration) -> Result<()> {
        const SHAPE: &str =
            "a number and its unit in quotes: \"500ms\", \"1.5s\", \"2m\" or \"1h\"";
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        match value.get_ref() {
            DeValue::String(text) => {
                let text = self.expand(key, text, value.span())?;
                *duration = parse_duration(&text).ok_or_else(|| {
                    self.problem(key, format!("{key} is not a duration"))
                        .expected(SHAPE)
                        .help(match text.starts_with('-') {
                            true => "time runs forward: remove the -",
                            false => "write one number and one unit: ms, s, m or h",
                        })
                })?;
                Ok(())
            }
            DeValue::Integer(number) => Err(self
                .wrong_type(key, value, "a duration", SHAPE)
                .help(format!("add the unit: {key} = \"{}ms\"", number.as_str()))),
            _ => Err(self.wrong_type(key, value, "a duration", SHAPE)),
        }
    }

    pub(super) fn size(&self, key: &str, bytes: &mut u64) -> Result<()> {
        self.size_or(key, &[], |bytes| bytes, bytes)
    }

    /// A size, or one of these words.
    pub(super) fn size_or<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        of_bytes: impl Fn(u64) -> T,
        setting: &mut T,
    ) -> Result<()> {
        const SHAPE: &str = "a number of bytes, or a number and its unit in quotes: \"64MiB\"";
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        if let DeValue::String(text) = value.get_ref() {
            let text = self.expand(key, text, value.span())?;
            let word = words.iter().find(|(word, _)| *word == text);
            *setting = word
                .map(|(_, meant)| *meant)
                .or_else(|| parse_size(&text).map(of_bytes))
                .ok_or_else(|| {
                    let mut shapes: Vec<String> = words
                        .iter()
                        .map(|(word, _)| format!("\"{word}\""))
                        .collect();
                    shapes.push(SHAPE.to_owned());
                    self.problem(key, format!("{key} is not a size"))
                        .expected(shapes.join(", "))
                        .help("the units are B, KiB, MiB and GiB")
                })?;
            return Ok(());
        }
        let mut bytes = 0;
        self.count(key, &mut bytes)?;
        *setting = of_bytes(bytes);
        Ok(())
    }

    /// A number that is too large for its type becomes the type's largest, which is beyond every bound that is checked later.
    pub(super) fn count<T: TryFrom<i64> + Bounded>(&self, key: &str, count: &mut T) -> Result<()> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        let Some(number) = integer(value.get_ref()) else {
            return Err(self.wrong_type(
                key,
                value,
                "an integer",
                &format!("a whole number without quotes: {key} = 1"),
            ));
        };
        if number < 0 {
            return Err(self
                .problem(key, format!("{key} is negative"))
                .expected("a whole number, not below 0")
                .help("leave it out for the default"));
        }
        *count = T::try_from(number).unwrap_or(T::LARGEST);
        Ok(())
    }
}

/// A type's largest number.
pub(super) trait Bounded {
    const LARGEST: Self;
}

impl Bounded for u16 {
    const LARGEST: u16 = u16::MAX;
}

impl Bounded for u32 {
    const LARGEST: u32 = u32::MAX;
}

impl Bounded for u64 {
    const LARGEST: u64 = u64::MAX;
}

/// An integer of any notation; one that is too large becomes the largest.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    let digits = integer.as_str().replace('_', "");
    let limit = if digits.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    Some(i64::from_str_radix(&digits, integer.radix()).unwrap_or(limit))
}

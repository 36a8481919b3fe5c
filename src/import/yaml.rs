//! The part of YAML that nutcracker reads: a block mapping from pools to block mappings from directives to a scalar or, once, a block list of
//! scalars. Flow style, anchors, aliases, tags and document markers are refused there, so that nothing here can expand or nest.

use super::error::{Place, Problem, shown};
use saphyr_parser::{Event, Marker, Parser, Span};
use std::str::Chars;

/// A text of the file, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Scalar>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) key: Scalar,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) name: Scalar,
    pub(super) directives: Vec<Directive>,
}

const SHAPE: &str = "pools at the margin, their directives indented below: `key: value`, and `servers:` with a list";

pub(super) fn read(text: &str) -> Result<Vec<Block>, Problem> {
    check_tabs(text)?;
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        chars: text.chars(),
        index: 0,
    };
    reader.stream()
}

/// libyaml, which nutcracker reads with, takes no tab before the text of a line.
fn check_tabs(text: &str) -> Result<(), Problem> {
    for (index, line) in text.lines().enumerate() {
        let text_start = line.find(|c: char| c != ' ').unwrap_or(line.len());
        if line[text_start..].starts_with('\t') {
            return Err(Problem::new("a tab before the text of a line")
                .at(Place {
                    line: index + 1,
                    column: text_start + 1,
                })
                .expected("indentation by spaces: YAML takes no tabs")
                .help("write spaces"));
        }
    }
    Ok(())
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// The text from character `index` on: tells block from flow style.
    chars: Chars<'t>,
    index: usize,
}

/// Events without what has no place in the file.
enum Item {
    Scalar(Scalar),
    MappingStart,
    MappingEnd,
    ListStart,
    ListEnd,
    End,
}

impl Reader<'_> {
    fn stream(&mut self) -> Result<Vec<Block>, Problem> {
        let mut blocks = Vec::new();
        match self.next()? {
            (Item::End, place) => {
                return Err(Problem::new("the file is empty")
                    .at(place)
                    .expected(SHAPE)
                    .help("give the nutcracker.yml that the proxy is started with"));
            }
            (Item::MappingStart, _) => {}
            (_, place) => {
                return Err(
                    Problem::new("the file is no mapping from pools to directives")
                        .at(place)
                        .expected(SHAPE)
                        .help("check the indentation, and the colons behind keys"),
                );
            }
        }
        loop {
            match self.next()? {
                (Item::MappingEnd, _) => break,
                (Item::Scalar(name), _) => blocks.push(self.block(name)?),
                (_, place) => return Err(not_a_key(place)),
            }
        }
        match self.next()? {
            (Item::End, _) => Ok(blocks),
            (_, place) => Err(document(place)),
        }
    }

    fn block(&mut self, name: Scalar) -> Result<Block, Problem> {
        match self.next()? {
            (Item::MappingStart, _) => {}
            (_, place) => {
                return Err(Problem::new("a pool without directives")
                    .at(place)
                    .read(format!("the key {:?} at the margin", shown(&name.text)))
                    .expected(SHAPE)
                    .help("indent the directives of a pool more than its name"));
            }
        }
        let mut directives = Vec::new();
        loop {
            match self.next()? {
                (Item::MappingEnd, _) => return Ok(Block { name, directives }),
                (Item::Scalar(key), _) => {
                    let value = self.value(&key)?;
                    directives.push(Directive { key, value });
                }
                (_, place) => return Err(not_a_key(place)),
            }
        }
    }

    fn value(&mut self, key: &Scalar) -> Result<Value, Problem> {
        match self.next()? {
            (Item::Scalar(value), _) => return Ok(Value::Scalar(value)),
            (Item::ListStart, _) => {}
            (Item::MappingStart, place) => {
                return Err(Problem::new(format!(
                    "the directive {:?} has directives of its own",
                    shown(&key.text)
                ))
                .at(place)
                .expected(SHAPE)
                .help("a pool's directives are one level deep. Check the indentation; if a changed nutcracker has its pools inside of another key, take them out of it"));
            }
            (_, place) => return Err(empty(place)),
        }
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Item::Scalar(item), _) => items.push(item),
                (Item::ListEnd, _) => return Ok(Value::List(items)),
                (Item::MappingStart, place) => {
                    return Err(Problem::new("a list item with a key")
                        .at(place)
                        .expected("a server a line: - host:port:weight name")
                        .help("no space may stand behind the colons of a server"));
                }
                (_, place) => {
                    return Err(Problem::new("a list in a list")
                        .at(place)
                        .expected("a server a line: - host:port:weight name")
                        .help("remove one of the dashes"));
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Item, Place), Problem> {
        loop {
            let Some(next) = self.parser.next_event() else {
                return Ok((Item::End, Place::START));
            };
            let (event, span) = next.map_err(|error| {
                Problem::new(format!("not YAML: {}", shown(error.info())))
                    .at(place_of(error.marker()))
                    .expected(SHAPE)
                    .help("indent by spaces, not tabs; put texts with special characters into double quotes")
            })?;
            let place = place_of(&span.start);
            let refused = |what: &str| {
                Err(Problem::new(format!("nutcracker refuses {what}"))
                    .at(place)
                    .expected(SHAPE)
                    .help("write it without"))
            };
            let item = match event {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(false) => continue,
                Event::DocumentStart(true) => return Err(document(place)),
                Event::DocumentEnd if span.is_empty() => continue,
                Event::DocumentEnd => return Err(document(place)),
                Event::StreamEnd => Item::End,
                Event::Alias(_) => return refused("aliases (*name)"),
                Event::Scalar(_, _, anchor, _)
                | Event::SequenceStart(anchor, _)
                | Event::MappingStart(anchor, _)
                    if anchor != 0 =>
                {
                    return refused("anchors (&name)");
                }
                Event::Scalar(_, _, _, Some(_))
                | Event::SequenceStart(_, Some(_))
                | Event::MappingStart(_, Some(_)) => return refused("tags (!name)"),
                Event::Scalar(text, ..) if text.is_empty() => return Err(empty(place)),
                Event::Scalar(text, ..) => Item::Scalar(Scalar {
                    text: text.into_owned(),
                    place,
                }),
                Event::SequenceStart(..) if self.char_at(&span) == Some('[') => {
                    return refused("lists in [ ]");
                }
                Event::MappingStart(..) if self.char_at(&span) == Some('{') => {
                    return Err(Problem::new("nutcracker refuses mappings in { }")
                        .at(place)
                        .expected(SHAPE)
                        .help("put a text of braces into quotes: hash_tag: \"{}\""));
                }
                Event::SequenceStart(..) => Item::ListStart,
                Event::MappingStart(..) => Item::MappingStart,
                Event::SequenceEnd => Item::ListEnd,
                Event::MappingEnd => Item::MappingEnd,
            };
            return Ok((item, place));
        }
    }

    /// The character that a span begins with. Spans come in the order of the text, so that all calls together walk through it once.
    fn char_at(&mut self, span: &Span) -> Option<char> {
        let index = span.start.index();
        if index > self.index {
            self.chars.nth(index - self.index - 1);
            self.index = index;
        }
        self.chars.clone().next()
    }
}

fn place_of(marker: &Marker) -> Place {
    Place {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

fn document(place: Place) -> Problem {
    Problem::new(
        "nutcracker refuses document markers (---, ...), directives (%) and second documents",
    )
    .at(place)
    .expected("one document without markers")
    .help("remove the marker; import the documents one by one if there are several")
}

fn empty(place: Place) -> Problem {
    Problem::new("an empty text")
        .at(place)
        .expected("a value behind every key, and a text behind every dash")
        .help("remove the line, or write the value")
}

fn not_a_key(place: Place) -> Problem {
    Problem::new("something other than a key")
        .at(place)
        .expected(SHAPE)
        .help("check the indentation")
}

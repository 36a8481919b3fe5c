//! Cells that differ in one thing only, in its order: what a graph or a summary shows side by side.

use super::comparison::{self, counted};
use crate::results::{Cell, Section};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Tasks,
    Servers,
    Nodes,
}

impl Axis {
    /// What a section varies.
    pub fn of(section: Section) -> Axis {
        match section {
            Section::Servers => Axis::Servers,
            Section::Nodes => Axis::Nodes,
            _ => Axis::Tasks,
        }
    }

    pub fn value(self, cell: &Cell) -> u32 {
        match self {
            Axis::Tasks => cell.tasks,
            Axis::Servers => cell.servers,
            Axis::Nodes => cell.nodes,
        }
    }

    pub fn noun(self) -> &'static str {
        match self {
            Axis::Tasks => "task",
            Axis::Servers => "server",
            Axis::Nodes => "node",
        }
    }
}

/// Never empty.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub axis: Axis,
    pub cells: Vec<&'a Cell>,
}

impl<'a> Series<'a> {
    /// In the order of their first cells.
    pub fn group(axis: Axis, cells: impl IntoIterator<Item = &'a Cell>) -> Vec<Series<'a>> {
        let rest = |cell: &Cell| {
            let others = [Axis::Tasks, Axis::Servers, Axis::Nodes]
                .map(|other| if other == axis { 0 } else { other.value(cell) });
            (cell.section, cell.runtime, cell.tls, others)
        };
        let mut series: Vec<Series<'a>> = Vec::new();
        for cell in cells {
            let same = |one: &&mut Series| {
                one.cells[0].work == cell.work && rest(one.cells[0]) == rest(cell)
            };
            match series.iter_mut().find(same) {
                Some(found) => found.cells.push(cell),
                None => series.push(Series {
                    axis,
                    cells: vec![cell],
                }),
            }
        }
        for one in &mut series {
            one.cells.sort_by_key(|cell| axis.value(cell));
        }
        series
    }

    /// In the order of the columns.
    pub fn peers(&self) -> Vec<&'a str> {
        let mut peers = Vec::new();
        for column in self.cells.iter().flat_map(|cell| &cell.columns) {
            if !peers.contains(&column.peer.as_str()) {
                peers.push(&column.peer);
            }
        }
        peers
    }

    /// What all of its cells have in common.
    pub fn title(&self) -> String {
        let cell = self.cells[0];
        let varies = counted(self.axis.value(cell), self.axis.noun());
        let title = comparison::title(cell);
        let parts = title.split(", ").filter(|part| *part != varies);
        parts.collect::<Vec<_>>().join(", ")
    }
}

use std::collections::{BTreeMap, BTreeSet};

use keyroll_trace::{LinkRole, Place, SurveyedSecret, chains_of, rows};

use crate::cause::verdict_word;
use crate::found::{EdgeShown, GraphShown, NodeShown};
use crate::look::Inventory;

/// The graph of values, the copies that hold them, the services that read the copies, and their processes.
pub fn graph<'f>(seen: &Inventory, all: impl Iterator<Item = &'f SurveyedSecret>) -> GraphShown {
    let mut drawing = Drawing::default();
    for found in all {
        let values: BTreeMap<_, _> = found
            .values
            .iter()
            .map(|id| {
                let text = format!("{} {}", found.name, seen.label(found, *id));
                (*id, drawing.node("value", format!("value {id:?}"), text))
            })
            .collect();
        let mut copies: BTreeMap<&Place, String> = BTreeMap::new();
        for (place, sighting) in found.copies() {
            let copy = drawing.node("copy", format!("copy {place}"), place.to_string());
            if let Some(value) = values.get(&sighting.value) {
                drawing.edge(value.clone(), copy.clone(), "is in");
            }
            copies.insert(place, copy);
        }
        for user in &found.users {
            let key = format!("service {} {}", user.managed_by.name(), user.name);
            let service = drawing.node("service", key, user.name.clone());
            for link in chains_of(&seen.survey, found, user).into_iter().flat_map(|chain| &chain.links) {
                let kind = match link.role {
                    LinkRole::Wins => "wins",
                    LinkRole::Shadowed => "shadowed",
                    LinkRole::NotRead => "not read",
                    LinkRole::NotThere => "not there",
                    LinkRole::NotVisible(_) => "not visible",
                };
                let known = link.place.as_ref().and_then(|place| copies.get(place).cloned());
                let from = known.unwrap_or_else(|| {
                    drawing.node("copy", format!("copy {} {}", user.name, link.what), link.what.clone())
                });
                drawing.edge(from, service.clone(), kind);
            }
        }
        for row in rows(&seen.survey, found) {
            let key = format!("service {} {}", row.user.managed_by.name(), row.user.name);
            let service = drawing.node("service", key, row.user.name.clone());
            let label = format!("{} ({})", row.process.pid, verdict_word(row.verdict));
            let process = drawing.node("process", format!("process {}", row.process.pid), label);
            drawing.edge(service, process.clone(), "runs");
            let memory = match &row.held.memory {
                keyroll_trace::Memory::Whole(all) | keyroll_trace::Memory::InPart(all) => Some(all),
                keyroll_trace::Memory::NotSearched
                | keyroll_trace::Memory::Common
                | keyroll_trace::Memory::Closed => None,
            };
            let held: BTreeSet<_> = row.held.start.iter().chain(memory).flatten().collect();
            for value in held.into_iter().filter_map(|id| values.get(id)) {
                drawing.edge(process.clone(), value.clone(), "holds");
            }
        }
    }
    drawing.graph
}

#[derive(Default)]
struct Drawing {
    graph: GraphShown,
    ids: BTreeMap<String, String>,
    /// The edges that were drawn already.
    drawn: BTreeSet<(String, String, &'static str)>,
}

impl Drawing {
    /// The id of the node with this key; a new node if there is none.
    fn node(&mut self, kind: &'static str, key: String, label: String) -> String {
        if let Some(known) = self.ids.get(&key) {
            return known.clone();
        }
        let id = format!("n{}", self.ids.len() + 1);
        self.ids.insert(key, id.clone());
        self.graph.nodes.push(NodeShown { id: id.clone(), kind, label });
        id
    }

    fn edge(&mut self, from: String, to: String, kind: &'static str) {
        if self.drawn.insert((from.clone(), to.clone(), kind)) {
            self.graph.edges.push(EdgeShown { from, to, kind });
        }
    }
}

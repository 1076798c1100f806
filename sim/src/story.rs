// SPDX-License-Identifier: Apache-2.0
//! A failing world as a story: who led, what befell whom, which promise broke, what those concerned
//! said to each other just before, and from which step on it was unavoidable.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use menagerie_core::{id::Zxid, io::Port, node::Phase};

use crate::{
    fate::{FUTURES, Fate},
    net::Place,
    oracle::{Property, Violation},
    readable::readable,
    world::{About, Message, PING, SECOND, Tale, World, place_name},
};

/// The most faults, deaths and starts that are told.
const FATES: usize = 30;
/// The most that is told of one client.
const OF_A_CLIENT: usize = 6;
/// The most messages that are told.
const MESSAGES: usize = 24;
/// Characters from one lane to the next.
const LANE: usize = 10;

/// The story of a world that was explained, and went as far as it went.
pub fn story(world: &World, violation: Option<&Violation>, fate: Option<&Fate>) -> String {
    let mut text = String::new();
    let Some(tale) = world.tale() else { return text };
    let concerned = violation.map(|violation| concerned(world, tale, violation));
    let concerned = concerned.unwrap_or_default();
    let told = write_all(&mut text, world, tale, violation, fate, &concerned);
    told.expect("a string takes all");
    text
}

fn write_all(
    out: &mut String,
    world: &World,
    tale: &Tale,
    violation: Option<&Violation>,
    fate: Option<&Fate>,
    concerned: &BTreeSet<Place>,
) -> fmt::Result {
    let (servers, clients) = (world.scenario.servers.len(), world.scenario.clients);
    writeln!(
        out,
        "The story of seed {}: {servers} servers and {clients} clients, {} s and {} steps",
        world.seed,
        time(world.now()).trim_start(),
        world.tally.events,
    )?;
    writeln!(out, "\nWho led, and what befell whom")?;
    moments(out, tale, concerned)?;
    writeln!(out, "\nHow the servers stood")?;
    (0..servers).try_for_each(|server| stands(out, world, server))?;
    let Some(violation) = violation else { return writeln!(out, "\nNo promise broke.") };
    let broken = violation.property;
    let (at, step) = (time(world.now()), world.tally.events);
    writeln!(out, "\nWhat broke, at {} in step {step}", at.trim_start())?;
    writeln!(out, "  {}: {}", broken.name(), broken.promise())?;
    let what = readable(&violation.what);
    what.chars()
        .take(1_200)
        .collect::<String>()
        .lines()
        .try_for_each(|line| writeln!(out, "  {line}"))?;
    who(out, tale, concerned)?;
    messages(out, tale, broken, concerned)?;
    match fate {
        Some(fate) => unavoidable(out, fate),
        None => Ok(()),
    }
}

/// World time for people.
fn time(at: u64) -> String {
    format!("{:>4}.{:06}", at / SECOND, at % SECOND)
}

/// Reigns, all of them; the last faults and deaths; what those clients went through that are
/// concerned.
fn moments(out: &mut String, tale: &Tale, concerned: &BTreeSet<Place>) -> fmt::Result {
    let fates = tale.moments.iter().filter(|moment| moment.about == About::Fate).count();
    let mut untold = fates.saturating_sub(FATES);
    let of = |client| {
        tale.moments.iter().filter(move |moment| moment.about == About::Client(client)).count()
    };
    let mut skipped = [0; 64];
    if untold > 0 {
        writeln!(out, "      ({untold} earlier faults, deaths and starts are left out)")?;
    }
    for moment in &tale.moments {
        let told = match moment.about {
            About::Reign => true,
            About::Fate => {
                let told = untold == 0;
                untold = untold.saturating_sub(1);
                told
            }
            About::Client(client) if concerned.contains(&Place::Client(client)) => {
                skipped[client % 64] += 1;
                skipped[client % 64] + OF_A_CLIENT > of(client)
            }
            About::Client(_) => false,
        };
        if told {
            writeln!(out, "{}  {}", time(moment.at), moment.what)?;
        }
    }
    Ok(())
}

fn stands(out: &mut String, world: &World, server: usize) -> fmt::Result {
    let replica = &world.ghost().replicas[server];
    let part = match replica.phase {
        None => "is down".to_owned(),
        Some(Phase::Starting) => "reads its disk".to_owned(),
        Some(Phase::Alone) => "is alone".to_owned(),
        Some(Phase::Looking) => "looks for a leader".to_owned(),
        Some(Phase::Leading { epoch: Some(epoch), established: true }) => {
            format!("leads epoch {epoch}")
        }
        Some(Phase::Leading { .. }) => "was elected, and does not lead yet".to_owned(),
        Some(Phase::Following { leader, serving: true }) => format!("follows s{leader}"),
        Some(Phase::Following { leader, .. }) => format!("is synchronised by s{leader}"),
        Some(Phase::Observing { leader, serving: true }) => format!("observes s{leader}"),
        Some(Phase::Observing { leader, .. }) => format!("is synchronised by s{leader}"),
        Some(Phase::Stopping | Phase::Over) => "stops".to_owned(),
    };
    let (last, durable, shown) = (replica.last(), replica.durable, replica.applied);
    writeln!(
        out,
        "  {} {part}; logged up to {}, durable up to {}, shown up to {}",
        place_name(Place::Server(server)),
        Zxid(last),
        Zxid(durable),
        Zxid(shown)
    )
}

/// The machines that a broken promise speaks of, and who acted last.
fn concerned(world: &World, tale: &Tale, violation: &Violation) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    let words: Vec<&str> = violation.what.split([' ', ':', ',', ';', '\n', '(', ')']).collect();
    for pair in words.windows(2) {
        let Ok(number) = pair[1].parse::<u64>() else { continue };
        match pair[0] {
            "server" => {
                places.extend(number.checked_sub(1).map(|at| Place::Server(at as usize)));
            }
            "client" => {
                places.insert(Place::Client(number as usize));
            }
            "link" => {
                places
                    .extend(tale.links.get(&number).into_iter().flat_map(|way| [way.from, way.to]));
            }
            _ => {}
        }
    }
    for word in words.iter().filter_map(|word| word.strip_prefix("0x")) {
        let session = i64::from_str_radix(word, 16).ok();
        let client = session.and_then(|session| tale.sessions.get(&session));
        places.extend(client.map(|client| Place::Client(*client)));
    }
    places.extend(tale.acting.map(Place::Server));
    let leads = |phase: Option<Phase>| matches!(phase, Some(Phase::Leading { .. }));
    let replicas = world.ghost().replicas.iter().enumerate();
    places.extend(
        replicas.filter(|(_, one)| leads(one.phase)).map(|(server, _)| Place::Server(server)),
    );
    places.retain(|place| *place != Place::Elsewhere);
    places
}

fn who(out: &mut String, tale: &Tale, concerned: &BTreeSet<Place>) -> fmt::Result {
    let names: Vec<String> = concerned.iter().map(|place| place_name(*place)).collect();
    writeln!(out, "\nWhom it concerns: {}", names.join(", "))?;
    for place in concerned {
        let Place::Client(client) = place else { continue };
        let sessions = tale.sessions.iter().filter(|(_, of)| *of == client);
        let sessions: Vec<String> = sessions.map(|(id, _)| Zxid(*id).to_string()).collect();
        writeln!(out, "  {} had session {}", place_name(*place), sessions.join(", then "))?;
    }
    Ok(())
}

/// The last messages among those concerned, as lanes from left to right and time downwards.
fn messages(
    out: &mut String,
    tale: &Tale,
    broken: Property,
    concerned: &BTreeSet<Place>,
) -> fmt::Result {
    let elections = matches!(broken, Property::Leadership | Property::Epochs | Property::Progress);
    let matters = |message: &&Message| {
        let ping = message.what.starts_with(PING) || message.what.contains("Ping");
        let among = concerned.contains(&message.from) && concerned.contains(&message.to);
        let server = |place| matches!(place, Place::Server(_));
        let between = server(message.from) && server(message.to);
        let heard = concerned.contains(&message.from) || concerned.contains(&message.to);
        (among || (between && heard)) && !ping && (elections || message.port != Port::Election)
    };
    let mut runs: Vec<Run<'_>> = Vec::new();
    for message in tale.messages.iter().rev().filter(matters) {
        if let Some(run) = runs.last_mut().filter(|run| run.goes_back_to(message)) {
            (run.first, run.count) = (message, run.count + 1);
        } else if runs.len() < MESSAGES {
            runs.push(Run { first: message, last: message, count: 1 });
        } else {
            break;
        }
    }
    runs.reverse();
    if runs.is_empty() {
        return Ok(());
    }
    let ends = |run: &Run<'_>| [run.first.from, run.first.to];
    let lanes: BTreeSet<Place> = runs.iter().flat_map(ends).collect();
    let lanes: Vec<Place> = lanes.into_iter().collect();
    writeln!(out, "\nThe last messages among them")?;
    let names: String = lanes.iter().map(|lane| format!("{:<LANE$}", place_name(*lane))).collect();
    writeln!(out, "{:11}  {}", "", names.trim_end())?;
    for run in runs {
        let lane = |place| lanes.iter().position(|lane| *lane == place).expect("it has a lane");
        let arrow = arrow(lanes.len(), lane(run.first.from), lane(run.first.to));
        writeln!(out, "{}  {arrow}  {}", time(run.first.at), run.words())?;
    }
    Ok(())
}

/// Messages of the stream of transactions from one machine to another, told as one.
struct Run<'a> {
    first: &'a Message,
    last: &'a Message,
    count: usize,
}

impl Run<'_> {
    /// Whether a message just before it belongs to it.
    fn goes_back_to(&self, earlier: &Message) -> bool {
        let stream = |message: &Message| {
            let kinds = ["PROPOSAL ", "COMMIT ", "INFORM ", "ACK "];
            kinds.iter().any(|kind| message.what.starts_with(kind))
        };
        let same = (earlier.from, earlier.to) == (self.first.from, self.first.to);
        same && stream(earlier) && stream(self.first)
    }

    fn words(&self) -> String {
        let short = |message: &Message| message.what.chars().take(90).collect::<String>();
        match self.count {
            1 => short(self.first),
            2 => format!("{}, {}", short(self.first), short(self.last)),
            count => format!("{} to {}, {count} packets", short(self.first), short(self.last)),
        }
    }
}

/// A line of lanes, with an arrow from one to another.
fn arrow(lanes: usize, from: usize, to: usize) -> String {
    let mut line = vec![b' '; lanes * LANE];
    (0..lanes).for_each(|lane| line[lane * LANE] = b'|');
    let (left, right) = (from.min(to) * LANE, from.max(to) * LANE);
    line[left + 1..right].fill(b'-');
    if from < to {
        line[right - 1] = b'>';
    } else if from > to {
        line[left + 1] = b'<';
    }
    line[from * LANE] = b'o';
    String::from_utf8(line).expect("these are letters")
}

fn unavoidable(out: &mut String, fate: &Fate) -> fmt::Result {
    writeln!(out, "\nWhen it became unavoidable")?;
    if fate.step == 0 {
        return writeln!(
            out,
            "  From the beginning: of {FUTURES} other futures of the same world none came through."
        );
    }
    writeln!(
        out,
        "  In step {}, at {}: before it {} of {FUTURES} other futures came through, after it none.",
        fate.step,
        time(fate.at).trim_start(),
        fate.came_through,
    )?;
    fate.what
        .iter()
        .try_for_each(|line| writeln!(out, "  {}", line.chars().take(160).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_go_from_lane_to_lane() {
        assert_eq!(arrow(3, 0, 1), "o-------->|         |         ");
        assert_eq!(arrow(3, 2, 0), "|<------------------o         ");
    }
}

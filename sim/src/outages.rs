// SPDX-License-Identifier: Apache-2.0
//! Outages, predicted beside measured: tables and a picture.

use std::{collections::BTreeMap, fmt::Write};

use crate::oracle::Violation;
pub use crate::world::outage::{Blow, outage};

/// One fault's outages, each in milliseconds, ascending.
#[derive(Clone, Debug)]
pub struct Compared {
    /// How it is told.
    pub told: &'static str,
    /// What worlds had.
    pub predicted: Vec<u64>,
    /// What real processes had.
    pub measured: Vec<u64>,
}

/// Predicts each fault's outages in so many worlds.
///
/// # Errors
/// When a world breaks a promise.
pub fn predict(
    worlds: u64,
    measured: &BTreeMap<String, Vec<u64>>,
    mut progress: impl FnMut(),
) -> Result<Vec<Compared>, Violation> {
    let mut all = Vec::new();
    for (blow, name, told) in Blow::ALL {
        let mut predicted = Vec::new();
        for seed in 1..=worlds {
            predicted.push(outage(blow, seed)?.div_ceil(1_000));
            progress();
        }
        predicted.sort_unstable();
        let mut measured = measured.get(name).cloned().unwrap_or_default();
        measured.sort_unstable();
        all.push(Compared { told, predicted, measured });
    }
    Ok(all)
}

/// Reads measurements: a fault, an outage in milliseconds and the load average in each line.
///
/// # Errors
/// Names the line that cannot be read.
pub fn read(text: &str) -> Result<BTreeMap<String, Vec<u64>>, String> {
    let mut measured: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let mut words = line.split('\t');
        let (name, took) = (words.next(), words.next().and_then(|took| took.parse().ok()));
        let (Some(name), Some(took)) = (name, took) else {
            return Err(format!("line {} cannot be read: {line}", number + 1));
        };
        measured.entry(name.to_owned()).or_default().push(took);
    }
    Ok(measured)
}

/// The value below which so many percent lie, of some in ascending order.
fn percentile(values: &[u64], percent: usize) -> Option<u64> {
    let last = values.len().checked_sub(1)?;
    Some(values[last * percent / 100])
}

/// A table for docs.
pub fn table(all: &[Compared]) -> String {
    let mut text = "| fault | | least | 25% | median | 75% | most | of |\n".to_owned();
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for Compared { told, predicted, measured } in all {
        for (who, values) in [("predicted", predicted), ("measured", measured)] {
            if values.is_empty() {
                continue;
            }
            let shown = [0, 25, 50, 75, 100].map(|percent| {
                percentile(values, percent).map_or(String::new(), |value| value.to_string())
            });
            let told = if who == "predicted" { told } else { "" };
            writeln!(text, "| {told} | {who} | {} | {} |", shown.join(" | "), values.len())
                .expect("a string takes all");
        }
    }
    text
}

/// Where a panel's drawing begins, and how large it is, in pixels.
const LEFT: u64 = 20;
const WIDTH: u64 = 600;
const HEIGHT: u64 = 90;
/// From one panel to the next.
const APART: u64 = 150;

/// A picture: for each fault, how many of a hundred outages are at most so long.
pub fn picture(all: &[Compared]) -> String {
    let (width, height) = (LEFT * 2 + WIDTH, 40 + APART * all.len() as u64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\">Outages in milliseconds: how many are at most so long. \
         <tspan fill=\"#07c\">Line: predicted.</tspan> \
         <tspan fill=\"#c40\">Dots: measured.</tspan></text>\n"
    );
    for (at, compared) in all.iter().enumerate() {
        panel(compared, 40 + APART * at as u64, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(compared: &Compared, top: u64, svg: &mut String) {
    let Compared { told, predicted, measured } = compared;
    let longest = predicted.iter().chain(measured).max().copied().unwrap_or(1);
    let most = round_up(longest);
    let x = |value: u64| LEFT + value * WIDTH / most;
    let base = top + 15 + HEIGHT;
    let y = |nth: usize, of: usize| base - (nth as u64) * HEIGHT / of as u64;
    let mut put = |line: String| svg.push_str(&line);
    put(format!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{told}</text>\n", top + 10));
    let end = LEFT + WIDTH;
    put(format!("<path d=\"M{LEFT} {base}H{end}\" stroke=\"black\"/>\n"));
    for fifth in 0..=5 {
        let value = most * fifth / 5;
        let (at, mark) = (x(value), base + 5);
        put(format!("<path d=\"M{at} {base}V{mark}\" stroke=\"black\"/>"));
        put(format!(
            "<text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{value}</text>\n",
            base + 18
        ));
    }
    let mut line = format!("M{LEFT} {base}");
    for (nth, value) in predicted.iter().enumerate() {
        write!(line, "H{}V{}", x(*value), y(nth + 1, predicted.len())).expect("it takes all");
    }
    put(format!("<path d=\"{line}H{end}\" fill=\"none\" stroke=\"#07c\" stroke-width=\"1.5\"/>\n"));
    for (nth, value) in measured.iter().enumerate() {
        let (x, y) = (x(*value), y(nth + 1, measured.len()));
        put(format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"2.5\" fill=\"#c40\"/>"));
    }
    put("\n".to_owned());
}

/// One, two or five with noughts.
fn round_up(value: u64) -> u64 {
    let mut power = 1;
    loop {
        if let Some(round) = [1, 2, 5].map(|digit| digit * power).into_iter().find(|r| *r >= value)
        {
            return round;
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_ends_and_the_same_seed_tells_the_same_outage() {
        for (blow, name, _) in Blow::ALL {
            let first = outage(blow, 7).expect("no promise is broken");
            assert_eq!(outage(blow, 7).expect("no promise is broken"), first, "{name}");
            // A fault that nobody noticed is none.
            assert!(first > 15_000, "{name} took {first} us");
        }
    }

    #[test]
    fn measurements_are_read_and_drawn() {
        let measured = read("# head\nleader_killed\t57\t1.00\nleader_killed\t31\t0.5\n");
        assert_eq!(measured.expect("it is right")["leader_killed"], [57, 31]);
        assert!(read("leader_killed 57").is_err());
        let (predicted, measured) = (vec![10, 20, 400], vec![30]);
        let all = [Compared { told: "a fault", predicted, measured }];
        assert!(table(&all).contains("| a fault | predicted | 10 | 10 | 20 | 20 | 400 | 3 |"));
        assert!(
            picture(&all).contains("<text x=\"620\" y=\"163\" text-anchor=\"middle\">500</text>")
        );
    }
}

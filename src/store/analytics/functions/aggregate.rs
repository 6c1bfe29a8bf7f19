//! Functions over many rows that SQLite has not. Each step takes the row's weight, the number of logs it stands for, as
//! its last argument where the count matters. What they gather is bounded.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use serde_json::Value as Json;

use super::json::json_of;
use super::{as_text, float, number_of, owned, raw, real_text, user_error, whole};

/// Bytes that one group gathers.
const GATHERED: usize = 16 << 20;
/// Different values of one group that a percentile or histogram tells apart.
const DISTINCT: usize = 1_000_000;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_aggregate_function("p_percentile", -1, flags, Percentile)?;
    connection.create_aggregate_function("p_histogram", -1, flags, Histogram)?;
    connection.create_aggregate_function("p_array_agg", -1, flags, Gather { is_map: false })?;
    connection.create_aggregate_function("p_map_agg", -1, flags, Gather { is_map: true })?;
    connection.create_aggregate_function("p_max_by", -1, flags, Extreme { greatest: true })?;
    connection.create_aggregate_function("p_min_by", -1, flags, Extreme { greatest: false })?;
    for (name, of) in [
        ("p_var_samp", Moment { is_sample: true, is_root: false }),
        ("p_var_pop", Moment { is_sample: false, is_root: false }),
        ("p_stddev_samp", Moment { is_sample: true, is_root: true }),
        ("p_stddev_pop", Moment { is_sample: false, is_root: true }),
    ] {
        connection.create_aggregate_function(name, -1, flags, of)?;
    }
    Ok(())
}

fn too_many(what: &str) -> rusqlite::Error {
    user_error(format!("{what} of one group would take too much memory; narrow the search or the time range"))
}

/// `p_percentile(value, percentage or JSON array of them, weight)`: the value at that rank.
struct Percentile;

#[derive(Default)]
struct Ranks {
    /// By the value's bits in its order.
    counts: BTreeMap<i64, i64>,
    wanted: Option<Json>,
    is_whole: bool,
}

impl Aggregate<Ranks, Value> for Percentile {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Ranks> {
        Ok(Ranks { is_whole: true, ..Ranks::default() })
    }

    fn step(&self, context: &mut Context<'_>, ranks: &mut Ranks) -> rusqlite::Result<()> {
        let value = number_of(raw(context, 0));
        ranks.is_whole &= !matches!(value, Value::Real(_));
        let (Some(number), Some(weight)) = (float(context, 0), whole(context, 2)) else { return Ok(()) };
        if ranks.wanted.is_none() {
            let text = as_text(raw(context, 1)).unwrap_or_default();
            let wanted: Json = serde_json::from_str(&text).unwrap_or_default();
            let listed = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
            let is_right = |part: &Json| part.as_f64().is_some_and(|part| (0.0..=1.0).contains(&part));
            if listed.is_empty() || !listed.iter().all(is_right) {
                return Err(user_error("approx_percentile: a percentage is a number from 0 to 1"));
            }
            ranks.wanted = Some(wanted);
        }
        *ranks.counts.entry(ordered(number)).or_insert(0) += weight.max(0);
        if ranks.counts.len() > DISTINCT { Err(too_many("the values")) } else { Ok(()) }
    }

    fn finalize(&self, _: &mut Context<'_>, ranks: Option<Ranks>) -> rusqlite::Result<Value> {
        let Some(Ranks { counts, wanted: Some(wanted), is_whole }) = ranks else { return Ok(Value::Null) };
        let total: i64 = counts.values().sum();
        let at = |part: f64| {
            let rank = ((part * total as f64).ceil() as i64).clamp(1, total.max(1));
            let mut passed = 0;
            let found = counts.iter().find(|(_, count)| {
                passed += **count;
                passed >= rank
            });
            found.map_or(0.0, |(bits, _)| unordered(*bits))
        };
        let value = |number: f64| if is_whole { Value::Integer(number as i64) } else { Value::Real(number) };
        Ok(match &wanted {
            Json::Array(list) => {
                let parts = list.iter().filter_map(Json::as_f64).map(|part| match value(at(part)) {
                    Value::Integer(number) => number.to_string(),
                    _ => real_text(at(part)),
                });
                format!("[{}]", parts.collect::<Vec<_>>().join(",")).into()
            }
            part => value(at(part.as_f64().unwrap_or(0.0))),
        })
    }
}

/// Bits that are in the order of the numbers.
fn ordered(number: f64) -> i64 {
    let bits = number.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn unordered(bits: i64) -> f64 {
    f64::from_bits((bits ^ (((bits >> 63) as u64) >> 1) as i64) as u64)
}

/// `p_histogram(value, weight)`: a map of how often each value occurs.
struct Histogram;

impl Aggregate<HashMap<String, i64>, Value> for Histogram {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<HashMap<String, i64>> {
        Ok(HashMap::new())
    }

    fn step(&self, context: &mut Context<'_>, counts: &mut HashMap<String, i64>) -> rusqlite::Result<()> {
        let (Some(value), Some(weight)) = (as_text(raw(context, 0)), whole(context, 1)) else {
            return Ok(());
        };
        if let Some(count) = counts.get_mut(&*value) {
            *count += weight;
            return Ok(());
        }
        if counts.len() >= DISTINCT / 10 {
            return Err(too_many("the values"));
        }
        counts.insert(value.into_owned(), weight);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, counts: Option<HashMap<String, i64>>) -> rusqlite::Result<Value> {
        let Some(counts) = counts.filter(|counts| !counts.is_empty()) else { return Ok(Value::Null) };
        let sorted: BTreeMap<String, i64> = counts.into_iter().collect();
        Ok(serde_json::to_string(&sorted).map_or(Value::Null, Value::from))
    }
}

/// `p_array_agg(value)`, `p_map_agg(key, value)`
struct Gather {
    is_map: bool,
}

#[derive(Default)]
struct Gathered {
    list: Vec<Json>,
    map: serde_json::Map<String, Json>,
    bytes: usize,
}

impl Aggregate<Gathered, Value> for Gather {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Gathered> {
        Ok(Gathered::default())
    }

    fn step(&self, context: &mut Context<'_>, gathered: &mut Gathered) -> rusqlite::Result<()> {
        let size = |value: ValueRef<'_>| 48 + if let ValueRef::Text(text) = value { text.len() } else { 0 };
        gathered.bytes += (0..context.len()).map(|index| size(context.get_raw(index))).sum::<usize>();
        if gathered.bytes > GATHERED {
            return Err(too_many("the list"));
        }
        if !self.is_map {
            gathered.list.push(json_of(raw(context, 0)));
        } else if let Some(key) = as_text(raw(context, 0)) {
            gathered.map.insert(key.into_owned(), json_of(raw(context, 1)));
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, gathered: Option<Gathered>) -> rusqlite::Result<Value> {
        let Some(gathered) = gathered else { return Ok(Value::Null) };
        let json = if self.is_map { gathered.map.into() } else { Json::from(gathered.list) };
        Ok(json.to_string().into())
    }
}

/// `p_max_by(value, by)`: the value where `by` is greatest, or least.
struct Extreme {
    greatest: bool,
}

impl Aggregate<Option<(Value, Value)>, Value> for Extreme {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Option<(Value, Value)>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, best: &mut Option<(Value, Value)>) -> rusqlite::Result<()> {
        let by = raw(context, 1);
        if by == ValueRef::Null {
            return Ok(());
        }
        let is_better = best.as_ref().is_none_or(|(_, known)| {
            let order = order(by, ValueRef::from(known));
            if self.greatest { order.is_gt() } else { order.is_lt() }
        });
        if is_better {
            *best = Some((owned(raw(context, 0)), owned(by)));
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, best: Option<Option<(Value, Value)>>) -> rusqlite::Result<Value> {
        Ok(best.flatten().map_or(Value::Null, |(value, _)| value))
    }
}

/// Numbers before texts, as SQLite orders them.
fn order(one: ValueRef<'_>, other: ValueRef<'_>) -> std::cmp::Ordering {
    let number = |value: ValueRef<'_>| match value {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        _ => None,
    };
    match (one, other) {
        (ValueRef::Integer(one), ValueRef::Integer(other)) => one.cmp(&other),
        _ => match (number(one), number(other)) {
            (Some(one), Some(other)) => one.total_cmp(&other),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => as_text(one).cmp(&as_text(other)),
        },
    }
}

/// `p_var_samp(value, weight)` and its relatives.
#[derive(Clone, Copy)]
struct Moment {
    is_sample: bool,
    is_root: bool,
}

/// Count, mean and sum of squared differences from it, kept by Welford's method.
#[derive(Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Aggregate<Spread, Value> for Moment {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Spread> {
        Ok(Spread::default())
    }

    fn step(&self, context: &mut Context<'_>, spread: &mut Spread) -> rusqlite::Result<()> {
        let (Some(number), Some(weight)) = (float(context, 0), float(context, 1)) else { return Ok(()) };
        if weight <= 0.0 {
            return Ok(());
        }
        spread.count += weight;
        let away = number - spread.mean;
        spread.mean += away * weight / spread.count;
        spread.squares += weight * away * (number - spread.mean);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, spread: Option<Spread>) -> rusqlite::Result<Value> {
        let Some(spread) = spread else { return Ok(Value::Null) };
        let over = if self.is_sample { spread.count - 1.0 } else { spread.count };
        if over <= 0.0 {
            return Ok(Value::Null);
        }
        let variance = spread.squares / over;
        Ok(Value::Real(if self.is_root { variance.sqrt() } else { variance }))
    }
}

//! Calls of functions: which there are, what they take, and their text for SQLite.
//!
//! With a weighted table (see [`super::weighted`]) an aggregate counts each row as often as its weight says.

use super::ast::{Call, Expr, Node, Order};
use super::emit::quoted;
use super::error::{Fault, fault, nearest};
use super::functions::{
    AGGREGATES, FUNCTIONS, Function, SPECIAL, WINDOW, missing, timestamp_text, window_seconds,
};
use super::translate::{Translator, direction};
use super::types::{Type, Want};

impl<'a> Translator<'a> {
    pub(super) fn type_of_call(&self, call: &'a Call) -> Result<Type, Fault> {
        let first = || match call.arguments.first() {
            Some(first) => self.type_of(first),
            None => Ok(Type::Any),
        };
        let number = |kind: Type| if kind.is_number() { kind } else { Type::Number };
        let mixed = |kind: Type| if kind == Type::Any { Type::Mixed } else { kind };
        Ok(match call.name.as_str() {
            "count" | "count_if" | "approx_distinct" | "row_number" | "rank" | "dense_rank" | "ntile" => {
                Type::Int
            }
            "avg" | "stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop"
            | "geometric_mean" | "percent_rank" | "cume_dist" => Type::Double,
            "bool_and" | "bool_or" | "every" => Type::Bool,
            "array_agg" | "map_agg" | "histogram" => Type::Json,
            "string_agg" | "listagg" | "concat" | "time_series" | "typeof" => Type::Text,
            "now" | "current_timestamp" | "localtimestamp" => Type::Time,
            "current_date" => Type::Date,
            "sum" => number(first()?),
            "approx_percentile" => match call.arguments.last() {
                Some(Expr { node: Node::Array(_), .. }) => Type::Json,
                _ => number(first()?),
            },
            "min" | "max" => mixed(first()?),
            "max_by" | "min_by" | "arbitrary" | "any_value" | "lag" | "lead" | "first_value"
            | "last_value" | "nullif" | "try" => first()?,
            "if" => self.common(call.arguments.iter().skip(1))?.0,
            "coalesce" => self.common(call.arguments.iter())?.0,
            "greatest" | "least" => mixed(self.common(call.arguments.iter())?.0),
            name => match (FUNCTIONS.iter().find(|function| function.name == name), name) {
                (_, "round" | "floor" | "ceil" | "ceiling" | "truncate" | "abs" | "sign") => number(first()?),
                (Some(function), _) => function.gives,
                (None, _) => Type::Any,
            },
        })
    }

    pub(super) fn call(&mut self, at: usize, call: &'a Call) -> Result<String, Fault> {
        let name = call.name.as_str();
        if let Some(why) = missing(name) {
            return Err(fault(at, format!("{name} {why}")));
        }
        let is_aggregate = AGGREGATES.contains(&name);
        let is_known = is_aggregate || WINDOW.contains(&name) || SPECIAL.contains(&name);
        if !is_known && !FUNCTIONS.iter().any(|function| function.name == name) {
            return Err(unknown(at, name));
        }
        if !is_aggregate {
            let extra = [
                (call.star, "*"),
                (call.distinct, "DISTINCT"),
                (call.filter.is_some(), "FILTER"),
                (!call.order.is_empty(), "ORDER BY"),
            ];
            if let Some((_, extra)) = extra.iter().find(|(is_there, _)| *is_there) {
                return Err(fault(at, format!("{name} takes no {extra}")));
            }
        }
        if let Some(window) = &call.over {
            if !is_aggregate && !WINDOW.contains(&name) {
                return Err(fault(at, format!("{name} takes no OVER")));
            }
            return self.windowed(at, call, window);
        }
        if WINDOW.contains(&name) {
            return Err(fault(at, format!("{name} needs OVER (...)")));
        }
        if is_aggregate {
            return self.aggregate(at, call);
        }
        if SPECIAL.contains(&name) {
            return self.special(at, call);
        }
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            return Err(unknown(at, name));
        };
        self.scalar(at, function, &call.arguments)
    }

    fn scalar(
        &mut self,
        at: usize,
        function: &'static Function,
        arguments: &'a [Expr],
    ) -> Result<String, Fault> {
        count(at, function.name, arguments, function.least, function.most)?;
        let mut texts = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let wanted = function.wants.as_bytes();
            let want = match wanted.get(index).or(wanted.last()) {
                Some(b't') => Want::Text,
                Some(b'n') => Want::Number,
                Some(b'v') => Want::Natural,
                _ => Want::Any,
            };
            texts.push(self.emit(argument, want)?);
        }
        Ok(format!("{}({})", function.target, texts.join(", ")))
    }

    fn special(&mut self, at: usize, call: &'a Call) -> Result<String, Fault> {
        let (name, arguments) = (call.name.as_str(), call.arguments.as_slice());
        match (name, arguments) {
            ("if", [condition, then]) => Ok(format!(
                "(CASE WHEN {} THEN {} END)",
                self.condition(condition)?,
                self.emit(then, Want::Any)?
            )),
            ("if", [condition, then, other]) => {
                let want = self.common([then, other].into_iter())?.1;
                Ok(format!(
                    "(CASE WHEN {} THEN {} ELSE {} END)",
                    self.condition(condition)?,
                    self.emit(then, want)?,
                    self.emit(other, want)?
                ))
            }
            ("coalesce" | "greatest" | "least", [_, ..]) => {
                let (kind, mut want) = self.common(arguments.iter())?;
                if name != "coalesce" && kind.is_open() {
                    want = Want::Natural;
                }
                let target = match name {
                    "greatest" => "max",
                    "least" => "min",
                    _ => "coalesce",
                };
                let mut texts = Vec::new();
                for argument in arguments {
                    texts.push(self.emit(argument, want)?);
                }
                // One argument would be SQLite's aggregate.
                let [only] = texts.as_slice() else { return Ok(format!("{target}({})", texts.join(", "))) };
                Ok(only.clone())
            }
            ("nullif", [value, other]) => {
                let equal = self.compared(&[value, other], true)?.join(" = ");
                Ok(format!("(CASE WHEN {equal} THEN NULL ELSE {} END)", self.emit(value, Want::Any)?))
            }
            ("try", [value]) => {
                let outer = std::mem::replace(&mut self.in_try, true);
                let sql = self.emit(value, Want::Any);
                self.in_try = outer;
                sql
            }
            ("concat", [_, _, ..]) => {
                let mut texts = Vec::new();
                for argument in arguments {
                    texts.push(self.emit(argument, Want::Text)?);
                }
                Ok(format!("({})", texts.join(" || ")))
            }
            ("now" | "current_timestamp" | "localtimestamp", []) => {
                Ok(quoted(&timestamp_text(self.names.setting.now)))
            }
            ("current_date", []) => {
                Ok(quoted(timestamp_text(self.names.setting.now).get(..10).unwrap_or("")))
            }
            ("time_series", [time, window, pattern, _padding]) => {
                if matches!(&window.node, Node::Text(text) if window_seconds(text).is_none()) {
                    return Err(fault(window.at, "a window is a number with s, m, h or d, as '5m'"));
                }
                Ok(format!(
                    "p_time_series({}, {}, {})",
                    self.emit(time, Want::Natural)?,
                    self.emit(window, Want::Text)?,
                    self.emit(pattern, Want::Text)?
                ))
            }
            ("typeof", [value]) => Ok(quoted(match self.type_of(value)? {
                Type::Int => "bigint",
                Type::Double | Type::Number => "double",
                Type::Bool => "boolean",
                Type::Time => "timestamp",
                Type::Date => "date",
                Type::Json => "json",
                Type::Any | Type::Mixed | Type::Text => "varchar",
            })),
            _ => Err(fault(at, format!("{name} does not take {} arguments", arguments.len()))),
        }
    }

    fn aggregate(&mut self, at: usize, call: &'a Call) -> Result<String, Fault> {
        let weight = self.names.scopes.last().and_then(|scope| scope.weight.clone());
        // What an aggregate is over is seen row by row.
        if let Some((at, inner)) = call.arguments.iter().find_map(super::weighted::first_aggregate) {
            return Err(fault(at, format!("{inner} stands inside {}; use a sub-select", call.name)));
        }
        let filter = match &call.filter {
            Some(filter) => format!(" FILTER (WHERE {})", self.condition(filter)?),
            None => String::new(),
        };
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let weight = weight.filter(|_| !call.distinct);
        let plain_weight = weight.as_deref().unwrap_or("1");
        let (name, arguments) = (call.name.as_str(), call.arguments.as_slice());
        if call.star && name != "count" {
            return Err(fault(at, format!("{name} takes no *")));
        }
        if call.distinct
            && (arguments.len() != 1 || !["count", "sum", "avg", "min", "max", "array_agg"].contains(&name))
        {
            return Err(fault(at, "DISTINCT is for count, sum, avg, min, max and array_agg of one value"));
        }
        Ok(match (name, arguments) {
            ("count", []) => match &weight {
                Some(weight) => format!("coalesce(sum({weight}){filter}, 0)"),
                None => format!("count(*){filter}"),
            },
            ("count", [value]) => {
                let value = self.emit(value, Want::Any)?;
                match &weight {
                    Some(weight) => {
                        format!("coalesce(sum(CASE WHEN {value} IS NOT NULL THEN {weight} END){filter}, 0)")
                    }
                    None => format!("count({distinct}{value}){filter}"),
                }
            }
            ("count_if", [condition]) => {
                let condition = self.condition(condition)?;
                format!("coalesce(sum(CASE WHEN {condition} THEN {plain_weight} END){filter}, 0)")
            }
            ("approx_distinct", [value] | [value, _]) => {
                format!("count(DISTINCT {}){filter}", self.emit(value, Want::Any)?)
            }
            ("sum", [value]) => {
                let value = self.emit(value, Want::Number)?;
                match &weight {
                    Some(weight) => format!("sum({value} * {weight}){filter}"),
                    None => format!("sum({distinct}{value}){filter}"),
                }
            }
            ("avg", [value]) => {
                let value = self.emit(value, Want::Number)?;
                match &weight {
                    Some(weight) => format!(
                        "(sum({value} * {weight}){filter} * 1.0 / sum(CASE WHEN {value} IS NOT NULL THEN {weight} END){filter})"
                    ),
                    None => format!("avg({distinct}{value}){filter}"),
                }
            }
            ("min" | "max", [value]) => format!("{name}({}){filter}", self.emit(value, Want::Natural)?),
            ("arbitrary" | "any_value", [value]) => format!("min({}){filter}", self.emit(value, Want::Any)?),
            ("bool_and" | "every", [condition]) => format!("min({}){filter}", self.condition(condition)?),
            ("bool_or", [condition]) => format!("max({}){filter}", self.condition(condition)?),
            ("max_by" | "min_by", [value, by]) => {
                let by = self.emit(by, Want::Natural)?;
                format!("p_{name}({}, {by}){filter}", self.emit(value, Want::Any)?)
            }
            ("approx_percentile", [value, part]) => {
                let (value, part) = (self.emit(value, Want::Number)?, self.emit(part, Want::Any)?);
                format!("p_percentile({value}, {part}, {plain_weight}){filter}")
            }
            ("approx_percentile", [value, times, part]) => {
                let (value, times) = (self.emit(value, Want::Number)?, self.emit(times, Want::Number)?);
                let part = self.emit(part, Want::Any)?;
                format!("p_percentile({value}, {part}, {times} * {plain_weight}){filter}")
            }
            ("histogram", [value]) => {
                format!("p_histogram({}, {plain_weight}){filter}", self.emit(value, Want::Text)?)
            }
            ("array_agg", [value]) => {
                let value = self.emit(value, Want::Any)?;
                format!("p_array_agg({distinct}{value}{}){filter}", self.order_inside(&call.order)?)
            }
            ("map_agg", [key, value]) => {
                let key = self.emit(key, Want::Text)?;
                format!("p_map_agg({key}, {}){filter}", self.emit(value, Want::Any)?)
            }
            ("string_agg" | "listagg", [value, separator]) => {
                let value = self.emit(value, Want::Text)?;
                let separator = self.emit(separator, Want::Text)?;
                format!("group_concat({value}, {separator}{}){filter}", self.order_inside(&call.order)?)
            }
            ("geometric_mean", [value]) => {
                format!("p_exp(avg(p_ln({})){filter})", self.emit(value, Want::Number)?)
            }
            ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", [value]) => {
                let target = match name {
                    "stddev" => "stddev_samp",
                    "variance" => "var_samp",
                    name => name,
                };
                format!("p_{target}({}, {plain_weight}){filter}", self.emit(value, Want::Number)?)
            }
            _ => return Err(fault(at, format!("{name} does not take {} arguments", arguments.len()))),
        })
    }

    fn order_inside(&mut self, order: &'a [Order]) -> Result<String, Fault> {
        let mut parts = Vec::new();
        for Order { expr, descending, nulls_first } in order {
            parts.push(self.emit(expr, Want::Natural)? + direction(*descending, *nulls_first));
        }
        Ok(if parts.is_empty() { String::new() } else { format!(" ORDER BY {}", parts.join(", ")) })
    }

    fn windowed(
        &mut self,
        at: usize,
        call: &'a Call,
        window: &'a super::ast::Window,
    ) -> Result<String, Fault> {
        let name = call.name.as_str();
        let natively = ["count", "sum", "avg", "min", "max", "count_if"];
        let sql = if WINDOW.contains(&name) {
            let most = match name {
                "lag" | "lead" => 3,
                "first_value" | "last_value" | "ntile" => 1,
                _ => 0,
            };
            count(at, name, &call.arguments, most.min(1), most)?;
            let mut texts = Vec::new();
            for (index, argument) in call.arguments.iter().enumerate() {
                let want = if name == "ntile" || index == 1 { Want::Number } else { Want::Any };
                texts.push(self.emit(argument, want)?);
            }
            format!("{name}({})", texts.join(", "))
        } else if !natively.contains(&name) || call.distinct {
            return Err(fault(at, format!("{name} is not supported with OVER; use a sub-select")));
        } else {
            self.windowed_aggregate(at, call)?
        };
        let mut over = Vec::new();
        let mut partition = Vec::new();
        for expr in &window.partition {
            partition.push(format!("({})", self.emit(expr, Want::Any)?));
        }
        if !partition.is_empty() {
            over.push(format!("PARTITION BY {}", partition.join(", ")));
        }
        if !window.order.is_empty() {
            over.push(self.order_inside(&window.order)?.trim_start().to_owned());
        }
        over.push(window.frame.trim().to_owned());
        Ok(format!("{sql} OVER ({})", over.join(" ").trim()))
    }

    /// An aggregate over a window; what it is over may itself be an aggregate of the groups.
    fn windowed_aggregate(&mut self, at: usize, call: &'a Call) -> Result<String, Fault> {
        let filter = match &call.filter {
            Some(filter) => format!(" FILTER (WHERE {})", self.condition(filter)?),
            None => String::new(),
        };
        let name = call.name.as_str();
        Ok(match (name, call.arguments.as_slice()) {
            ("count", []) => format!("count(*){filter}"),
            ("count_if", [condition]) => {
                format!("count(CASE WHEN {} THEN 1 END){filter}", self.condition(condition)?)
            }
            ("min" | "max", [value]) => format!("{name}({}){filter}", self.emit(value, Want::Natural)?),
            ("count", [value]) => format!("count({}){filter}", self.emit(value, Want::Any)?),
            ("sum" | "avg", [value]) => format!("{name}({}){filter}", self.emit(value, Want::Number)?),
            (_, arguments) => {
                return Err(fault(at, format!("{name} does not take {} arguments", arguments.len())));
            }
        })
    }
}

fn count(at: usize, name: &str, arguments: &[Expr], least: usize, most: usize) -> Result<(), Fault> {
    if (least..=most).contains(&arguments.len()) {
        return Ok(());
    }
    let takes = if least == most { most.to_string() } else { format!("{least} to {most}") };
    let plural = if takes == "1" { "" } else { "s" };
    Err(fault(at, format!("{name} takes {takes} argument{plural}, not {}", arguments.len())))
}

fn unknown(at: usize, name: &str) -> Fault {
    let known = FUNCTIONS.iter().map(|function| function.name);
    let known = known.chain(SPECIAL).chain(AGGREGATES).chain(WINDOW);
    let shown: String = name.chars().take(64).collect();
    fault(
        at,
        match nearest(name, known) {
            Some(known) => format!("there is no function {shown}; perhaps {known} is meant"),
            None => format!("there is no function {shown}"),
        },
    )
}

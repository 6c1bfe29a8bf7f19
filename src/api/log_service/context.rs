//! GetContextLogs: `GET /logstores/L?type=context_log&pack_id=..&pack_meta=..&back_lines=..&forward_lines=..`, the logs around
//! one that a query `... | with_pack_meta` has found. Of a log that is not there, or not there any more, the context is
//! empty.

use super::answer::{Answer, Refusal};
use super::get_logs::known;
use super::request::{Target, short};
use super::rows::write_context;
use crate::store::{Anchor, CONTEXT_LINES, Extras, Store};

pub(super) async fn get(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let known = known(store, target, logstore)?;
    let text = |name| target.parameter(name).ok_or_else(|| Refusal::missing_parameter(name));
    let (pack_id, pack_meta) = (text("pack_id")?, text("pack_meta")?);
    let anchor = Anchor::read(pack_id, pack_meta).ok_or_else(|| {
        let message = format!(
            "pack_meta {} is not the __pack_meta__ of a log, as `* | with_pack_meta` gives it",
            short(pack_meta)
        );
        Refusal::new("ParameterInvalid", message)
    })?;
    let lines = |name| match target.number::<usize>(name)?.unwrap_or(0) {
        lines if lines <= CONTEXT_LINES => Ok(lines),
        lines => {
            let message = format!("{name} {lines} must be within range [0, {CONTEXT_LINES}]");
            Err(Refusal::new("ParameterInvalid", message))
        }
    };
    let (back, forward) = (lines("back_lines")?, lines("forward_lines")?);
    if back == 0 && forward == 0 {
        return Err(Refusal::new("ParameterInvalid", "back_lines and forward_lines cannot both be 0"));
    }
    let extras = Extras { pack: true, arrival: known.appends };
    let found = store.context(known.id, anchor, back, forward, extras).await?;
    let counts = format!(
        "{{\"progress\":\"Complete\",\"total_lines\":{},\"back_lines\":{},\"forward_lines\":{},\"logs\":",
        found.rows.len(),
        found.back,
        found.forward
    );
    let mut body = counts.into_bytes();
    write_context(&found.rows, found.back, &mut body);
    body.push(b'}');
    Ok(Answer::bytes(body))
}

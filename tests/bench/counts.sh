#!/bin/sh
# Instructions per record of the gateway's hot path, counted by callgrind (valgrind): framing, decode and encode of
# 10,000 records as Docker sends them. The numbers do not depend on the machine's speed, only on compiler and code.
set -eu
records=${1:-10000}
here=$(cd "$(dirname "$0")" && pwd)
program=$(cargo build --release --manifest-path "$here/Cargo.toml" --features counts \
    --message-format=json-render-diagnostics | sed -n 's/.*"executable":"\([^"]*sluicegate-bench\)".*/\1/p')
printf '%-8s %-8s %s\n' part mode instructions/record
for part in framing decode encode; do
    for mode in packed message; do
        log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="*counts*$part*" \
            "$program" count --part $part --mode $mode --records "$records" 2>&1) || { echo "$log" >&2; exit 1; }
        total=$(echo "$log" | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p')
        printf '%-8s %-8s %s\n' $part $mode $((total / records))
    done
done

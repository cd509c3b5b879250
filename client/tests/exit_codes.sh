#!/usr/bin/env bash
# Runs `tuneserve run` for every exit code of docs/ci.md against the service at TUNESERVE_URL.
#
# Usage: exit_codes.sh FOLDER
#
# Prints a line for each run and ends with 1 if any ended with another code than it should have. FOLDER gets
# NAME.json, NAME.err, NAME.xml and NAME.md of each. TUNESERVE is the command, if it is not on the path.
set -u

tuneserve=${TUNESERVE:-tuneserve}
cd "$1" || exit 1
wrong=0

cat >quick.yaml <<'SPEC'
dataset: builtin:digits
model: {family: cnn, filters: 4, blocks: 1, dense_units: 8}
training: {epochs: 1, learning_rate: {type: float, min: 0.001, max: 0.01}}
budget: {max_trials: 1}
SPEC
sed 's/epochs: 1,/epochs: 5000,/' quick.yaml >long.yaml

# start NAME SPEC OPTIONS...
start() {
    name=$1 spec=$2
    shift 2
    "$tuneserve" run "$spec" --set "name=$name" --json --junit "$name.xml" --summary "$name.md" "$@" \
        >"$name.json" 2>"$name.err" &
    echo $! >"$name.pid"
}

# ended NAME CODE: waits for the run and looks at its code.
ended() {
    wait "$(cat "$1.pid")"
    code=$?
    if [ "$code" -eq "$2" ]; then
        echo "ok    $1 $code"
    else
        echo "WRONG $1 $code, not $2"
        cat "$1.err"
        wrong=1
    fi
}

# made NAME: waits until the run has told the id of its job, and prints it.
made() {
    while ! sed -n 's/^Job \(job_[a-z0-9]*\)$/\1/p' "$1.err" | grep .; do
        kill -0 "$(cat "$1.pid")" 2>/dev/null || return 1
        sleep 0.05
    done
}

# signalled NAME SIGNAL: once its job is there.
signalled() {
    made "$1" >/dev/null &&
        kill -s "$2" "$(cat "$1.pid")"
}

# 0 met. The others that need a model reuse this one.
start met quick.yaml --min val_accuracy=0.01 --max val_accuracy=1 --max parameters=2e6 \
    --max model_bytes=1e9 --max prediction_seconds=60 --min test_accuracy=0.001 --max score=1 --output model

# What needs no job, beside it.
start usage quick.yaml --min val_f1=0.9
start key quick.yaml --api-key tns_aaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbb
start not_found quick.yaml --baseline job_00000000000000000000000000
start unreachable quick.yaml --url http://127.0.0.1:9
ended usage 2
ended key 4
ended not_found 5
ended unreachable 6
ended met 0

start reused quick.yaml --reuse --min val_accuracy=0.01
start missed quick.yaml --reuse --min val_accuracy=0.01 --min test_accuracy=1 --output missed-model
ended reused 0
ended missed 3
job=$("$tuneserve" list --json | sed -n 's/.*"id": "\(job_[^"]*\)".*/\1/p' | head -n 1)
start baseline quick.yaml --reuse --baseline "$job" --tolerance 0.5
start dry quick.yaml --dry-run --min val_accuracy=0.01
ended baseline 0
ended dry 0

# Jobs that last: left behind, cancelled by the run, or cancelled by somebody.
start timed_out long.yaml --timeout 1s
start interrupted long.yaml
start terminated long.yaml
start interrupted_cancels long.yaml --cancel-on-interrupt
start terminated_cancels long.yaml --cancel-on-interrupt
start failed long.yaml
signalled interrupted INT
signalled terminated TERM
signalled interrupted_cancels INT
signalled terminated_cancels TERM
ended interrupted 130
ended terminated 130
ended interrupted_cancels 130
ended terminated_cancels 130
ended timed_out 124
"$tuneserve" cancel --quiet "$(made failed)" >/dev/null
ended failed 1
"$tuneserve" cancel --quiet "$(made interrupted)" >/dev/null
exit $wrong

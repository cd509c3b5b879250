#!/bin/sh
# Asks a Tuneserve service for a tuned model and ends with the exit code of `tuneserve run` (docs/ci.md).
#
# Everything is said by the environment. TUNESERVE_URL and TUNESERVE_API_KEY say where the service is.
#
#   TUNE_SPEC                 the spec (YAML, TOML or JSON); must be set
#   TUNE_SET, TUNE_LABEL      changes of the spec and labels of the job, one a line
#   TUNE_MIN, TUNE_MAX        gates, METRIC=N, one a line
#   TUNE_DATASET, TUNE_BASELINE, TUNE_TOLERANCE, TUNE_TIMEOUT, TUNE_IDEMPOTENCY_KEY
#   TUNE_JUNIT, TUNE_SUMMARY, TUNE_OUTPUT    files and folder that are written
#   TUNE_JSON                 file for the result as JSON; else it is shown as text
#   TUNE_REUSE, TUNE_CANCEL_ON_INTERRUPT, TUNE_CANCEL_ON_TIMEOUT, TUNE_DRY_RUN    true or false
#   TUNESERVE                 the command, if it is not on the path
set -eu

: "${TUNE_SPEC:?the spec to run}"
set --

while read -r line; do
    [ -z "$line" ] || set -- "$@" --set "$line"
done <<LIST
${TUNE_SET-}
LIST
while read -r line; do
    [ -z "$line" ] || set -- "$@" --label "$line"
done <<LIST
${TUNE_LABEL-}
LIST
while read -r line; do
    [ -z "$line" ] || set -- "$@" --min "$line"
done <<LIST
${TUNE_MIN-}
LIST
while read -r line; do
    [ -z "$line" ] || set -- "$@" --max "$line"
done <<LIST
${TUNE_MAX-}
LIST

[ -z "${TUNE_DATASET-}" ] || set -- "$@" --dataset "$TUNE_DATASET"
[ -z "${TUNE_BASELINE-}" ] || set -- "$@" --baseline "$TUNE_BASELINE"
[ -z "${TUNE_TOLERANCE-}" ] || set -- "$@" --tolerance "$TUNE_TOLERANCE"
[ -z "${TUNE_TIMEOUT-}" ] || set -- "$@" --timeout "$TUNE_TIMEOUT"
[ -z "${TUNE_IDEMPOTENCY_KEY-}" ] || set -- "$@" --idempotency-key "$TUNE_IDEMPOTENCY_KEY"
[ -z "${TUNE_JUNIT-}" ] || set -- "$@" --junit "$TUNE_JUNIT"
[ -z "${TUNE_SUMMARY-}" ] || set -- "$@" --summary "$TUNE_SUMMARY"
[ -z "${TUNE_OUTPUT-}" ] || set -- "$@" --output "$TUNE_OUTPUT"
[ "${TUNE_REUSE-}" != true ] || set -- "$@" --reuse
[ "${TUNE_CANCEL_ON_INTERRUPT-}" != true ] || set -- "$@" --cancel-on-interrupt
[ "${TUNE_CANCEL_ON_TIMEOUT-}" != true ] || set -- "$@" --cancel-on-timeout
[ "${TUNE_DRY_RUN-}" != true ] || set -- "$@" --dry-run

# exec, so that a runner's signals reach the command and not a shell that knows nothing of the job.
if [ -n "${TUNE_JSON-}" ]; then
    exec "${TUNESERVE:-tuneserve}" run "$@" --json -- "$TUNE_SPEC" >"$TUNE_JSON"
fi
exec "${TUNESERVE:-tuneserve}" run "$@" -- "$TUNE_SPEC"
